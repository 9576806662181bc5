#!/bin/sh
# Apply the template's newest version to this project, then update the files that depend on it.
# Usage: update.sh COPIER… update [OPTION]… [--from ADDRESS]
#   COPIER…         the command that starts Copier; the options are Copier's
#   --from ADDRESS  the new address of the template, which is then stored in the answers file
set -eu

ANSWERS=.copier-answers.yml
HOW='make update ARGS="--from https://git.example.com/team/template.git"'

# A function, because a shell reads a script line by line, and the update may replace this one.
main() {
    # An update is undone with Git, so all changes must be committed before.
    changed=$(git status --porcelain) || exit
    if [ -n "$changed" ]; then
        fail "commit your changes first, so that Git can undo the update:
$changed"
    fi
    [ -f "$ANSWERS" ] || fail "$ANSWERS is missing.
It contains the template's address and the answers: restore it from Git"
    expect_template "${from:-$(remembered _src_path)}"
    run_copier "$@"
    # Before make, which cannot read a Makefile with conflicts.
    sh scripts/conflicts.sh
    # The target of the new version, because that one knows the next steps.
    exec make updated
}

fail() {
    echo "make update: $1" >&2
    exit 1
}

# Print a value of the answers file, without quotes; a long one may continue in the next lines.
remembered() {
    awk -v key="$1:" '
        $1 == key { sub(/^[^:]*: */, ""); value = $0; inside = 1; next }
        inside && /^ / { sub(/^ */, ""); value = value " " $0; next }
        { inside = 0 }
        END { if (value ~ /^'\''.*'\''$/) value = substr(value, 2, length(value) - 2); print value }
    ' "$ANSWERS"
}

# Ask Git before anything is changed, so that a wrong address gives a clear message.
expect_template() {
    case $1 in
    "") fail "$ANSWERS has no address of the template. Give it:
$HOW" ;;
    gh:*) url=https://github.com/${1#gh:} ;;
    gl:*) url=https://gitlab.com/${1#gl:} ;;
    *) url=${1#git+} ;;
    esac
    case $url in
    /* | .*) [ -d "$url" ] || fail "the template is not at $url. Give its new address:
$HOW" ;;
    esac
    if ! said=$(git ls-remote "$url" HEAD 2>&1 >/dev/null); then
        reason=$(printf '%s\n' "$said" | sed -n '/^fatal: /{s///p;q;}')
        fail "the template at $url cannot be reached:
${reason:-Git gives no reason}
Try again, or give its new address:
$HOW"
    fi
}

run_copier() {
    if [ -n "$from" ]; then move; fi
    stopped=
    trap : INT # Ctrl-C stops Copier, and then this script still restores the files
    "$@" || stopped=yes
    trap - INT
    if [ -n "$from" ]; then moved; fi
    if [ -n "$stopped" ]; then
        [ -z "$from" ] || git checkout --quiet -- "$ANSWERS"
        fail "Copier stopped, see above.
It needs commit $(remembered _commit) of the template.
If the template has moved:
$HOW"
    fi
}

# Copier reads the address from the answers file and refuses uncommitted changes. So while it runs, the new address is in a
# commit. This commit is not the user's, so it has no signature and runs no hook.
move() {
    before=$(git rev-parse HEAD)
    text=$(without_source) || exit
    printf "%s\n_src_path: '%s'\n" "$text" "$(printf %s "$from" | sed "s/'/''/g")" >"$ANSWERS"
    git -c user.name=update -c user.email=update@localhost -c core.hooksPath=/dev/null \
        commit --quiet --no-gpg-sign --allow-empty --message "make update --from" -- "$ANSWERS"
}

without_source() {
    awk '/^_src_path:/ { inside = 1; next } inside && /^ / { next } { inside = 0; print }' "$ANSWERS"
}

moved() {
    git update-ref HEAD "$before"
    # This may fail or report files with conflicts; the only effect is that the file stays staged, as the others may be.
    git reset --quiet -- "$ANSWERS" 2>/dev/null || :
}

# The address in Copier's form, and without credentials, because the answers file is committed.
in_copiers_words() {
    plain=$(printf '%s\n' "$1" | sed -E 's#^(git\+)?(https?://)[^/]*@#\1\2#; s#^((git\+)?ssh://[^:/@]*):[^/]*@#\1@#')
    case $plain in
    git+* | gh:* | gl:* | git@* | git://* | *.git) [ -d "$plain" ] || echo "$plain" ;;
    *:*) echo "git+$plain" ;;
    esac
    if [ -d "$plain" ]; then echo "git+file://$(cd "$plain" && pwd)"; fi
}

from=
seen=
for word in "$@"; do
    shift
    case $seen:$word in
    value:*) from=$word seen=options ;;
    options:--from) seen=value ;;
    options:--from=*) from=${word#--from=} ;;
    *)
        if [ "$word" = update ]; then seen=options; fi
        set -- "$@" "$word"
        ;;
    esac
done
if [ "$seen" = value ]; then fail "--from needs an address, for example:
$HOW"; fi
if [ -n "$from" ]; then
    given=$from
    from=$(in_copiers_words "$given")
    [ -n "$from" ] || fail "$given is not the address of a Git repository. For example:
$HOW"
fi

main "$@"
