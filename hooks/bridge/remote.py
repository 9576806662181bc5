"""Finds a remote that has the clone's commit, so that other machines can find the template.

It uses only the remote-tracking branches of the last fetch or push, and no network.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from bridge.git import git, is_clone

LATER = 'or run make update ARGS="--from ADDRESS" in the service later'
HERE_ONLY = "so the service can be updated on this machine only"
HOST = re.compile(r"([\w.-]+|\[[0-9A-Fa-f:.]+\])(:\d*)?")
HELPER = re.compile(r"[\w-]+::")  # a remote helper of this machine, as in `ext::command`
# Git's rule: a colon before the first slash. A single letter is a drive of Windows.
HOST_AND_PATH = re.compile(r"[^/\\:]{2,}:")


class NotPublishedError(Exception):
    """The reason why other machines cannot find the commit, with the fix."""


@dataclass(frozen=True)
class Published:
    address: str
    commit: str  # the hash, because a tag may not have been pushed
    only_here: bool  # the remote is a directory


def published(clone: Path) -> Published:
    if not is_clone(clone):
        raise NotPublishedError(
            "this is not a Git clone, so the service cannot be updated later: clone the template first"
        )
    for remote in remotes(clone):
        url = url_of(remote, clone)
        if url and has_head(remote, clone) and (address := address_of(url, clone)):
            return Published(address, described(clone), only_here=is_directory(url))
    raise NotPublishedError(reason(clone))


def described(clone: Path) -> str:
    return git(clone, "describe", "--tags", "--long", "--always") or ""


def reason(clone: Path) -> str:
    if not (named := remotes(clone)):
        return f"this clone has no remote, {HERE_ONLY}: push the template first, {LATER}"
    if any(has_head(remote, clone) for remote in named):
        return (
            f"the remote has no address for other machines, {HERE_ONLY}: see git remote -v, {LATER}"
        )
    head = git(clone, "rev-parse", "--short", "HEAD")
    return f"no remote has commit {head}, {HERE_ONLY}: push it first, {LATER}"


def warnings(clone: Path) -> Iterator[str]:
    """One line for each reason why later updates will be incomplete."""
    try:
        if published(clone).only_here:
            yield f"its remote is a directory, {HERE_ONLY}: push the template to a server, {LATER}"
    except NotPublishedError as error:
        yield str(error)
    if is_clone(clone) and git(clone, "status", "--porcelain"):
        yield (
            "the template has changes that are not committed, and the service gets them, but they"
            " cannot be updated later: commit and push them first"
        )


def remotes(clone: Path) -> list[str]:
    """The names of the remotes: the one of the branch's upstream, then origin, then the others."""
    branch = git(clone, "branch", "--show-current")
    upstream = git(clone, "config", f"branch.{branch}.remote") if branch else None
    named = (git(clone, "remote") or "").splitlines()
    return sorted(named, key=lambda name: (name != upstream, name != "origin", name))


def has_head(remote: str, clone: Path) -> bool:
    contains = ["for-each-ref", "--count=1", "--format=%(refname)", "--contains=HEAD"]
    return bool(git(clone, *contains, f"refs/remotes/{remote}/")) or at_fetched_tag(clone)


def at_fetched_tag(clone: Path) -> bool:
    """Whether a tag is checked out that no local branch contains, as in a clone of one tag."""
    contains = ["for-each-ref", "--count=1", "--format=%(refname)", "--contains=HEAD"]
    return (
        git(clone, "branch", "--show-current") is None
        and git(clone, "describe", "--tags", "--exact-match") is not None
        and git(clone, *contains, "refs/heads/") is None
    )


def url_of(remote: str, clone: Path) -> str | None:
    """The configured URL; the resolved one if only the user's `url.….insteadOf` explains it."""
    configured = (git(clone, "config", "--get-all", f"remote.{remote}.url") or "").splitlines()
    if configured and ("://" in configured[0] or "@" in configured[0]):
        return configured[0]
    return git(clone, "remote", "get-url", remote)


def address_of(url: str, clone: Path) -> str | None:
    """The address in Copier's form, without credentials; None if there is none."""
    if is_directory(url):
        directory = (clone / Path(url).expanduser()).resolve()
        return in_copiers_words(f"file://{quote(str(directory))}")
    if HELPER.match(url):
        return None
    safe = without_credentials(url) if "://" in url else url
    return safe and in_copiers_words(safe)


def is_directory(url: str) -> bool:
    return "://" not in url and not HOST_AND_PATH.match(url)


def without_credentials(url: str) -> str | None:
    """Remove credentials. A user name stays only with SSH: with HTTP it may be a token.

    None if the URL is ambiguous.
    """
    scheme, _, rest = url.partition("://")
    if scheme == "file":
        return url
    authority, slash, path = rest.partition("/")
    userinfo, at, host = authority.rpartition("@")
    if not HOST.fullmatch(host):
        return None
    if "ssh" in scheme:
        return f"{scheme}://{userinfo.partition(':')[0]}{at}{host}{slash}{path}"
    if "@" in path:  # the end of a password that contains a slash
        return None
    return f"{scheme}://{host}{slash}{re.split('[?#]', path)[0]}"


# Copier takes an address with another start for a directory, unless it starts with `git+`.
KNOWN_STARTS = (
    *("gh:", "gl:", "git@", "git://", "git+"),
    *("https://github.com/", "https://gitlab.com/"),
)
KNOWN_END = ".git"


def in_copiers_words(url: str) -> str:
    known = url.startswith(KNOWN_STARTS) or url.endswith(KNOWN_END)
    return url if known else f"git+{url}"
