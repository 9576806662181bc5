"""`make install`, its Git hook and `make doctor` on machines that are set up in unusual ways."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.engines import REPOSITORY, git, run
from tests.renders import Renders
from tests.service import POETRY, generate
from tests.test_secrets_hook import KEYS

ELSEWHERE = {
    "UV_SYSTEM_PYTHON": "1",
    "UV_PYTHON": "/usr/bin/python3",
    "UV_PROJECT_ENVIRONMENT": "/elsewhere",
    "UV_TARGET": "/elsewhere",
    "UV_PREFIX": "/elsewhere",
    "UV_BREAK_SYSTEM_PACKAGES": "1",
    "UV_NO_DEV": "1",
    "UV_OF_THE_NEXT_RELEASE": "1",
    "PIP_USER": "1",
    "PIP_TARGET": "/elsewhere",
    "PIP_PREFIX": "/elsewhere",
    "PIP_ROOT": "/elsewhere",
    "PIP_REQUIRE_VIRTUALENV": "1",
    "PIP_NO_BINARY": ":all:",
    "POETRY_VIRTUALENVS_CREATE": "false",
    "POETRY_VIRTUALENVS_PATH": "/elsewhere",
    "PYTHONPATH": "/elsewhere",
    "PYTHONHOME": "/elsewhere",
    "PYTHONSAFEPATH": "1",
    "VIRTUAL_ENV": "/elsewhere",
    "CONDA_PREFIX": "/elsewhere",
}
FROM_WHERE = {
    "UV_INDEX_URL": "https://index.test/simple",
    "UV_DEFAULT_INDEX": "https://index.test/simple",
    "UV_INDEX_OURS_PASSWORD": "canary",
    "UV_NATIVE_TLS": "1",
    "UV_OFFLINE": "1",
    "UV_CACHE_DIR": "/cache",
    "UV_CONFIG_FILE": "/uv.toml",
    "PIP_INDEX_URL": "https://index.test/simple",
    "PIP_CONFIG_FILE": "/pip.conf",
    "PIP_CERT": "/ca.pem",
    "HTTPS_PROXY": "http://proxy.test:3128",
    "SSL_CERT_FILE": "/ca.pem",
}


def shell(directory: Path, *command: str, **variables: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    return subprocess.run(
        command,
        cwd=directory,
        env={**inherited, **variables},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("lock", ["requirements", "poetry", "uv", "the template"])
def test_recipes_get_the_variables_of_sources_and_not_of_targets(
    lock: str, renders: Renders, lean_template: Path
) -> None:
    place = lean_template
    if lock != "the template":
        place = renders.by_copier(lean_template, {"lock": lock})
    done = shell(place, "make", "--eval=seen: ; @env", "seen", **ELSEWHERE, **FROM_WHERE)
    assert done.returncode == 0, done.stderr
    seen = dict(line.partition("=")[::2] for line in done.stdout.splitlines() if "=" in line)
    own = {"UV_PYTHON"} if lock == "uv" else set()  # .venv's
    assert seen.keys() & ELSEWHERE.keys() == own
    assert seen.get("UV_PYTHON", "").startswith(str(place)) or not own
    assert FROM_WHERE.items() <= seen.items()


def executable(path: Path, script: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def installed(service: Path, *arguments: str, **variables: str) -> str:
    """The output of `make install` with stand-ins for Python, pip and uv, of which uv fails."""
    stamp = service / ".venv/bin/.installed"
    executable(service / "python", "echo Python 3.13.0")
    executable(service / ".venv/bin/python", "exit 0")
    executable(service / ".venv/bin/uv", "echo the index is away; exit 4")
    (service / "uv.lock").touch()
    stamp.touch()
    os.utime(stamp, (0, 0))
    done = shell(service, "make", "install", f"PYTHON={service}/python", *arguments, **variables)
    assert done.returncode != 0
    assert not stamp.exists()
    assert not list(service.glob(".venv/step.*"))
    return done.stdout + done.stderr


@pytest.mark.parametrize("lock", ["requirements", "poetry", "uv"])
def test_a_failed_install_shows_the_tools_words_and_leaves_no_stamp(
    lock: str, renders: Renders, lean_template: Path, tmp_path: Path
) -> None:
    made = renders.by_copier(lean_template, {"lock": lock})
    service = shutil.copytree(made, tmp_path / "service")
    executable(service / "poetry", "echo the index is away; exit 4")
    output = installed(service, f"POETRY={service}/poetry")
    assert "the index is away" in output
    assert "failed (4), see above" in output
    assert "'make doctor' may know why" in output


@pytest.mark.parametrize("line", ["[pip]\ntarget = '/x'", "pip.prefix = '/x'"])
def test_a_configuration_that_sends_uv_elsewhere_is_refused(
    line: str, renders: Renders, lean_template: Path, tmp_path: Path
) -> None:
    made = renders.by_copier(lean_template, {"lock": "requirements"})
    service = shutil.copytree(made, tmp_path / "service")
    (tmp_path / "uv.toml").write_text(line)
    output = installed(service, UV_CONFIG_FILE=str(tmp_path / "uv.toml"))
    assert "would install outside .venv" in output
    assert "the index is away" not in output


def test_a_step_that_succeeds_prints_nothing(lean_template: Path, tmp_path: Path) -> None:
    script = lean_template / "template/scripts/step.sh"
    done = shell(tmp_path, "sh", str(script), "sh", "-c", "echo much; echo more >&2")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert list(tmp_path.iterdir()) == []


def test_a_step_that_fails_prints_its_output_while_another_one_makes_the_environment(
    lean_template: Path, tmp_path: Path
) -> None:
    script = lean_template / "template/scripts/step.sh"
    making = "echo the reason; rm -rf .venv; mkdir .venv; exit 3"
    done = shell(tmp_path, "sh", str(script), "sh", "-c", making)
    assert done.returncode == 3
    reason, *advice = done.stderr.splitlines()
    assert reason == "the reason"
    assert "'sh' failed (3), see above: nothing was marked as done" in advice[0]
    assert max(map(len, advice)) <= 80


@pytest.mark.parametrize(
    ("said", "lines"),
    [
        pytest.param(
            "    | Unable to find installation candidates for pip (26.3)\n    | 1. Regenerate lockfile",
            [
                "make install: the package index has no file of pip (26.3) for Poetry,",
                "which reads pages that pip and uv do not need. Use another index, or uv's lock:",
                "  .venv/bin/uv tool run copier update --defaults --data lock=uv && make updated",
            ],
            id="index",
        ),
        pytest.param(
            "No space left",
            [
                "No space left",
                "make: './poetry' failed (1), see above: nothing was marked as done.",
                "Fix it and run the same command again; 'make doctor' may know why",
            ],
            id="other",
        ),
    ],
)
def test_an_index_without_poetrys_pages_is_named_with_the_way_on(
    template: Path, tmp_path: Path, said: str, lines: list[str]
) -> None:
    shutil.copytree(template / "template/scripts", tmp_path / "scripts")
    (tmp_path / "said").write_text(f"{said}\n")
    (tmp_path / "poetry").write_text("#!/bin/sh\ncat said\nexit 1\n")
    (tmp_path / "poetry").chmod(0o755)
    done = shell(tmp_path, "sh", "scripts/locks/poetry.sync.sh", "./poetry", "sync")
    assert done.returncode == 1
    assert done.stderr.splitlines() == lines
    assert max(map(len, lines)) <= 80


INSTALLED = "The Git hook checks each commit: "


def left_out(directory: Path) -> str:
    """The line about the hook that `make install` prints."""
    (directory / "scripts").mkdir(parents=True, exist_ok=True)
    shutil.copy(REPOSITORY / "template/scripts/hook.sh", directory / "scripts")
    done = shell(
        directory, "sh", "scripts/hook.sh", GIT_CEILING_DIRECTORIES=str(directory.parents[2])
    )
    assert done.returncode == 0
    lines = (done.stdout + done.stderr).splitlines()
    assert len(lines) == 1, lines
    return lines[0]


def test_the_hook_is_installed_or_left_out_with_a_reason(tmp_path: Path) -> None:
    project = tmp_path / "a project"
    project.mkdir()
    assert "'git init' if there is no repository yet" in left_out(project)

    git(project, "init", "--quiet")
    assert left_out(project) == f"{INSTALLED}.git/hooks/pre-commit"

    hook = project / ".git/hooks/pre-commit"
    executable(hook, "echo of the team")
    line = "sh 'part/scripts/check_commit.sh' 'part/' || exit 1"
    assert left_out(project / "part").endswith(
        f"there is one already; add to ../.git/hooks/pre-commit: {line}"
    )
    assert hook.read_text() == "#!/bin/sh\necho of the team\n"

    git(project, "config", "core.hooksPath", "/company/hooks")
    message = left_out(project / "part")
    assert message.endswith(
        f"core.hooksPath is /company/hooks; add to the pre-commit hook there: {line}"
    )


def test_the_hook_of_an_earlier_version_is_replaced(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet")
    hook = tmp_path / ".git/hooks/pre-commit"
    executable(hook, "# File generated by pre-commit: https://pre-commit.com\nexit 1")
    assert left_out(tmp_path).startswith(INSTALLED)
    assert "generated by pre-commit" not in hook.read_text()


def test_the_hook_is_installed_from_a_worktree(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet", "project")
    project = tmp_path / "project"
    git(project, "commit", "--quiet", "--allow-empty", "--message=new")
    git(project, "worktree", "add", "--quiet", str(tmp_path / "other"))
    assert left_out(tmp_path / "other").startswith(INSTALLED)


def test_the_hook_has_each_service_of_a_repository_once(tmp_path: Path) -> None:
    """Each check runs only where its service is, and one that fails refuses the commit."""
    git(tmp_path, "init", "--quiet")
    names = ["one", "it's two"]
    for name in [*names, *names]:
        left_out(tmp_path / "services" / name)
    for name in names:
        executable(tmp_path / "services" / name / "scripts/check_commit.sh", 'echo "checks $1"')
    done = shell(tmp_path, ".git/hooks/pre-commit")
    checked = [f"checks services/{name}/" for name in names]
    assert (done.returncode, done.stdout.splitlines()) == (0, checked)

    executable(tmp_path / "services/one/scripts/check_commit.sh", "exit 5")
    assert shell(tmp_path, ".git/hooks/pre-commit").returncode == 1
    shutil.rmtree(tmp_path / "services/one")
    done = shell(tmp_path, ".git/hooks/pre-commit")
    assert (done.returncode, done.stdout.splitlines()) == (0, checked[1:])


@pytest.mark.parametrize("prefix", ["", "services/one/"])
def test_without_its_environment_a_service_searches_commits_for_keys_only(
    prefix: str, tmp_path: Path
) -> None:
    """As after `make clean`: the staged text counts, not that of the working tree."""
    git(tmp_path, "init", "--quiet")
    service = tmp_path / prefix
    shutil.copytree(REPOSITORY / "template/scripts", service / "scripts")
    shutil.copytree(REPOSITORY / "template/src", service / "src")
    notes = service / "docs/my notes.md"
    notes.parent.mkdir()
    notes.write_text(KEYS["anthropic.py"])
    git(tmp_path, "add", str(notes))
    notes.write_text("The key is in .env.")
    check = ("sh", f"{prefix}scripts/check_commit.sh", prefix)
    done = shell(tmp_path, *check)
    assert done.returncode == 1
    assert f"{prefix}docs/my notes.md:1: anthropic-api-key: sk-a… (" in done.stdout
    assert "was checked for keys only" in done.stderr

    git(tmp_path, "add", str(notes))
    done = shell(tmp_path, *check)
    assert (done.returncode, done.stdout) == (0, "")
    assert "make install" in done.stderr


@pytest.mark.parametrize(
    ("variables", "env_file", "found"),
    [
        ({"APP_PORT": "abc"}, b"", "FAIL  APP_PORT: abc is not a port"),
        ({"APP_PORT": "99999"}, b"", "FAIL  APP_PORT: 99999 is not a port"),
        ({"MOCK_PORT": '"9000"'}, b"", "FAIL  MOCK_PORT: the quotes are part"),
        ({"APP_PORT": ""}, b"APP_PORT = '18795' # ours", "port 18795"),
        ({"APP_PORT": ""}, "export APP_PORT=18796\r\n".encode("utf-16"), "port 18796"),
        ({}, b"# Schl\xfcssel\n", "FAIL  .env: line 1 is not UTF-8: save it as UTF-8"),
        ({}, b"A=1\n\0", "FAIL  .env: line 2 has a NUL byte"),
    ],
)
def test_the_doctor_names_unreadable_files(
    variables: Mapping[str, str], env_file: bytes, found: str, template: Path, tmp_path: Path
) -> None:
    """Before anything is installed."""
    place = shutil.copytree(template / "template", tmp_path / "service")
    (place / "pyproject.toml").write_text("[project]\ndependencies=[]\n[dependency-groups]\ndev=[]")
    (place / ".env").write_bytes(env_file)
    done = shell(place, sys.executable, "scripts/doctor.py", **variables)
    assert found in done.stdout
    assert "no .python-version" in done.stdout
    assert "Traceback" not in done.stderr


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_machine_where_everything_is_set_installs_lints_and_tests_in_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing outside the directory is changed, and `make dev` does not ask the proxy for itself."""
    service = generate(tmp_path / "made")
    home, outside = tmp_path / "home", tmp_path / "elsewhere"
    for directory in (home, outside):
        directory.mkdir()
    config = tmp_path / "gitconfig"
    config.write_text(f"[core]\nhooksPath = {outside}\n")
    elsewhere = {name: v.replace("/elsewhere", str(outside)) for name, v in ELSEWHERE.items()}
    for name, value in {**elsewhere, "HTTP_PROXY": "http://127.0.0.1:9"}.items():
        monkeypatch.setenv(name, value)
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    monkeypatch.setenv("HOME", str(home))
    output = service.run("make", "install", "lint", "test", "NATIVE=1")
    assert f"the Git hook was not installed: core.hooksPath is {outside}" in output
    assert list(outside.iterdir()) == []
    assert {path.name for path in home.iterdir()} <= {".cache", ".rustup", ".ipython", ".local"}
    assert service.run("git", "status", "--porcelain") == ""
    with service.running("make", "dev", "NATIVE=1") as make:
        monkeypatch.delenv("HTTP_PROXY")  # of this process, which asks what make started
        service.wait_until_healthy(make)
        assert service.ask()["content"]


@pytest.mark.slow
def test_poetry_installs_into_venv_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    service = generate(tmp_path / "made", lock="poetry")
    (tmp_path / "elsewhere").mkdir()
    for name, value in ELSEWHERE.items():
        monkeypatch.setenv(name, value.replace("/elsewhere", str(tmp_path / "elsewhere")))
    service.run("make", "install", POETRY)
    assert list((tmp_path / "elsewhere").iterdir()) == []
    monkeypatch.undo()  # this interpreter needs its own PYTHONHOME
    run(str(service.path / ".venv/bin/python"), "-c", "import app, fastapi")
