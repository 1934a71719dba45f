"""Which commit of which repository."""

import subprocess

from AEROBI.run.versions import git_commit


def test_git_commit(tmp_path):
    package = tmp_path / "src" / "AEROBI"
    package.mkdir(parents=True)
    assert git_commit(package) is None
    git = ["git", "-C", str(tmp_path), "-c", "user.name=x", "-c", "user.email=x"]
    subprocess.run([*git, "init", "-q"], check=True)
    assert git_commit(package) is None
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "x"], check=True)
    commit = git_commit(package)
    assert len(commit) == 40
    (package / "x.py").write_text("")
    subprocess.run([*git, "add", "."], check=True)
    assert git_commit(package) == f"{commit}-dirty"
    (package / "deeper" / "AEROBI").mkdir(parents=True)
    assert git_commit(package / "deeper" / "AEROBI") is None  # somebody else's repository
