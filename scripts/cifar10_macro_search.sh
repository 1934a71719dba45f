#!/usr/bin/env bash
# The name that the published README gives for the search; it hands over to it.
exec "$(dirname "${BASH_SOURCE[0]}")/AEROBI_macro_search.sh" "$@"
