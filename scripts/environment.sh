# Sourced by the other scripts: makes .venv and installs the project into it.
# Usage: install_into_venv EXTRA   ("" for the package alone, "[test]" for what tests need)

install_into_venv() {
  local root extras=$1
  root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
  # A PYTHONPATH of the caller's would hide what is missing from the environment.
  unset PYTHONPATH
  local base
  base=$(find_python) || {
    echo "Python 3.10 to 3.13 is needed; set PYTHON to one." >&2
    return 1
  }
  if [ ! -x "$root/.venv/bin/python" ]; then
    echo "Making $root/.venv with $base"
    "$base" -m venv "$root/.venv"
  fi
  PYTHON="$root/.venv/bin/python"
  export PYTHON
  # One install serves until what it depends on changes.
  local stamp="$root/.venv/installed$extras" wanted
  wanted=$(cat "$root/setup.py" "$root/requirements.txt" | cksum)
  if [ "$(cat "$stamp" 2>/dev/null)" != "$wanted" ]; then
    echo "Installing (TensorFlow is a large download)"
    "$PYTHON" -m pip install --quiet --disable-pip-version-check --editable "$root$extras"
    echo "$wanted" > "$stamp"
  fi
}

find_python() {
  local candidate
  for candidate in "${PYTHON:-}" python3 python python3.13 python3.12 python3.11 python3.10; do
    if [ -n "$candidate" ] && "$candidate" -c \
        'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then
      echo "$candidate"
      return 0
    fi
  done
  return 1
}

# Prints PYTHON, or .venv's where it was made, or a python3 that has what the project needs.
python_with_package() {
  local root candidate
  root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
  for candidate in "${PYTHON:-}" "$root/.venv/bin/python" python3; do
    if [ -n "$candidate" ] && "$candidate" -c 'import importlib.util as u, sys
sys.exit(not all(map(u.find_spec, ("tensorflow", "h5py", "PIL", "six", "tqdm"))))' > /dev/null 2>&1; then
      echo "$candidate"
      return 0
    fi
  done
  echo "Error: no Python with TensorFlow: run scripts/quickstart.sh, or pip install $root" >&2
  return 2
}
