"""The environment is activated in any POSIX shell, whatever its activation scripts do."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from jupyter_condabuild.image.paths import ACTIVATE, ENTRYPOINT, PREFIX, TOOLS
from jupyter_condabuild.image.programs import PROGRAMS

SHELLS = [["bash"], ["bash", "--posix"], ["bash", "-eu"], ["dash"], ["dash", "-eu"], ["busybox", "ash"]]
FOUND = [shell for shell in SHELLS if shutil.which(shell[0])]


@dataclass
class Environment:
    """A prefix outside of an image, and our programs for it."""

    folder: Path

    def script(self, name: str, text: str) -> None:
        """Adds an activation script."""
        self._write(f"env/etc/conda/activate.d/{name}.sh", text)

    def variables(self, name: str, text: str) -> None:
        """Adds a file in env_vars.d."""
        self._write(f"env/etc/conda/env_vars.d/{name}.json", text)

    def _write(self, path: str, text: str) -> None:
        (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / path).write_text(text)

    def program(self, path: str) -> Path:
        """Writes one of our programs, for this prefix."""
        text = PROGRAMS[path].decode().replace(PREFIX, f"{self.folder}/env").replace(TOOLS, f"{self.folder}/tools")
        self._write(f"tools/{Path(path).name}", text)
        (self.folder / "tools" / Path(path).name).chmod(0o755)
        return self.folder / "tools" / Path(path).name

    def activated(self, shell: list[str], given: dict[str, str] | None = None) -> tuple[dict[str, str], str]:
        """Activates in a shell as /etc/profile does. Returns its exported variables, and the errors."""
        env = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", **(given or {})}
        self._write("profile", f'for file in "{self.program(ACTIVATE)}"; do . "$file"; done')
        code = f'. "{self.folder}/profile"; [ "$*" = "one two" ]; [ "$PWD" = / ]; env -0'
        command = [shutil.which(shell[0]) or "", *shell[1:], "-c", code, "shell", "one", "two"]
        done = subprocess.run(command, env=env, cwd="/", stdin=subprocess.DEVNULL, capture_output=True)
        assert done.returncode == 0, done.stderr
        return dict(item.split("=", 1) for item in done.stdout.decode().split("\0") if item), done.stderr.decode()


@pytest.fixture
def made(tmp_path: Path) -> Environment:
    """A prefix without scripts."""
    (tmp_path / "env/bin").mkdir(parents=True)
    return Environment(tmp_path)


@pytest.mark.parametrize("shell", FOUND, ids=" ".join)
class TestInEachShell:
    """bash and dash, with and without the options that end a script at an error."""

    def test_scripts_do_not_see_or_change_the_shell(self, made: Environment, shell: list[str]) -> None:
        """Only exported variables are taken over: not arguments, folder, options and other variables."""
        made.script("a", 'export SEEN="$#:$*"; set -- x; cd /tmp; set -eu; local_only=1; export WORDS="$*"')
        made.script("b", """export QUOTED="a 'b' \\"c\\" \\$d \\\\e\nf"; unset GONE; export PATH="/added:$PATH\"""")
        env, errors = made.activated(shell, {"GONE": "1", "KEPT": "1"})
        assert errors == ""
        assert (env["SEEN"], env["WORDS"], env["QUOTED"]) == ("0:", "x", "a 'b' \"c\" $d \\e\nf")
        assert env["PATH"] == f"/added:{made.folder}/env/bin:/usr/bin:/bin" == env["CONDABUILD_PATH"]
        assert (env["CONDA_PREFIX"], env["CONDA_SHLVL"], env["KEPT"]) == (f"{made.folder}/env", "1", "1")
        assert not {"GONE", "local_only"} & env.keys()

    @pytest.mark.parametrize(
        "text",
        [
            "exit 3",
            "set -e; false",
            "set -u; : $NOT_SET",
            "return 4",
            "exec true",
            "if then",
            "set -e; (exit 5)",
            "ends",
        ],
    )
    def test_a_script_that_fails_is_named(self, made: Environment, shell: list[str], text: str) -> None:
        """The next scripts run, and the command too. A script that ends its shell has no effect."""
        made.script("a", f"export BEFORE=1\n{text}\nexport AFTER=1\n" if text != "ends" else "false")
        made.script("b", "export NEXT=1")
        env, errors = made.activated(shell)
        assert env["NEXT"] == "1"
        assert "AFTER" not in env
        assert f"the activation script {made.folder}/env/etc/conda/activate.d/a.sh" in errors
        assert "b.sh" not in errors

    def test_a_script_may_start_a_process_that_stays(self, made: Environment, shell: list[str]) -> None:
        """Nothing waits for the end of the process."""
        made.script("a", f"cat {made.folder}/fifo >/dev/null 2>&1 & export STARTED=1")
        os.mkfifo(made.folder / "fifo")
        writer = os.open(made.folder / "fifo", os.O_RDWR)  # the process ends when this is closed
        try:
            assert made.activated(shell)[0]["STARTED"] == "1"
        finally:
            os.close(writer)

    def test_a_second_activation_only_restores_path(self, made: Environment, shell: list[str]) -> None:
        """/etc/profile sets PATH anew in a login shell below the first one."""
        made.script("a", 'export COUNT="x$COUNT"; export PATH="/added:$PATH"')
        env, _ = made.activated(shell)
        again, _ = made.activated(shell, {**env, "PATH": "/usr/local/bin:/bin"})
        assert again["PATH"] == f"{env['PATH']}:/usr/local/bin:/bin"
        assert again["COUNT"] == "x"
        assert made.activated(shell, again)[0]["PATH"] == again["PATH"]

    def test_the_variables_of_packages_are_set(self, made: Environment, shell: list[str]) -> None:
        """env_vars.d is JSON with all its escapes. conda writes names in upper case. Later files win."""
        values = {
            "PLAIN": "a b",
            "ODD": "\"q\" 'a' \\ / $x `y` \n\t\r\b\f\x01 é € \U0001f600\n",
            "EMPTY": "",
            "lower_1": "up",
            "UNSET": "***unset***",
            "SET": "no",
            "TWICE": "first",
        }
        made.variables("a", json.dumps(values, indent=2))
        made.variables("b", json.dumps({**values, "TWICE": "second"}, ensure_ascii=False).replace("/", "\\/"))
        made.variables("c", '{"NUMBER": 12, "NULL":null,"YES" :true}')
        made.variables("d", " {} ")
        made.script("a", 'export FROM_SCRIPT="$PLAIN"')
        env, errors = made.activated(shell, {"SET": "yes"})
        assert errors == ""
        expected = {"PLAIN": "a b", "ODD": values["ODD"], "EMPTY": "", "LOWER_1": "up", "SET": "yes", "TWICE": "second"}
        assert expected.items() <= env.items()
        assert (env["NUMBER"], env["YES"], env["FROM_SCRIPT"]) == ("12", "true", "a b")
        assert not {"UNSET", "NULL", "lower_1"} & env.keys()

    @pytest.mark.parametrize(
        "text",
        ["", "no", "[]", '{"A": [1]}', '{"A": "b}', '{"A-B": "c"}', '{"A": "\\u0"}', '{"A": "\\u0000"}', '{"A"'],
    )
    def test_a_bad_file_is_named(self, made: Environment, shell: list[str], text: str) -> None:
        """The other files are read."""
        made.variables("a", text)
        made.variables("b", '{"NEXT": "1"}')
        env, errors = made.activated(shell)
        assert env["NEXT"] == "1"
        assert f"{made.folder}/env/etc/conda/env_vars.d/a.json" in errors


def test_an_option_is_not_a_command(made: Environment) -> None:
    """bash would take it for an option of `exec`. No script sees the arguments of a container."""
    made.script("a", 'echo "seen: $#"')
    made.program(ACTIVATE)
    done = subprocess.run([made.program(ENTRYPOINT), "--help"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (127, "")
    assert "--help: not found" in done.stderr
    assert "seen: 0" in done.stderr


def test_the_programs_name_the_paths_of_an_image() -> None:
    """The paths are written in full, so that a person can read the programs in a container."""
    text = b"".join(PROGRAMS.values()).decode()
    assert f". {ACTIVATE}" in text
    assert f"{PREFIX}/etc/conda/activate.d" in text
    assert f"CONDA_PREFIX={PREFIX} " in text


@pytest.mark.parametrize("shell", FOUND, ids=" ".join)
def test_a_bash_that_a_script_starts_does_not_activate_again(made: Environment, shell: list[str]) -> None:
    """Without an end, each would run the script, and start the next. Its PATH is that of the activation."""
    log = made.folder / "log"
    stop = f'echo "$PATH" >>"{log}"; [ "$(wc -l <"{log}")" -lt 4 ] || exit 0'
    made.script("a", f"{stop}\nexport SEEN=$(bash -c 'echo \"$PATH\"')")
    env, errors = made.activated(shell, {"BASH_ENV": str(made.program(ACTIVATE))})
    assert errors == ""
    assert log.read_text().splitlines() == [env["SEEN"]] == [f"{made.folder}/env/bin:/usr/bin:/bin"]


@pytest.mark.parametrize("shell", FOUND, ids=" ".join)
@pytest.mark.parametrize("clean", ["env -i PATH=/usr/bin:/bin BASH_ENV=$BASH_ENV", "env -u CONDABUILD_PATH"])
def test_a_bash_without_the_variables_does_not_activate_again(made: Environment, shell: list[str], clean: str) -> None:
    """A script may clean the environment of a shell that it starts, as for a login shell."""
    log = made.folder / "log"
    stop = f'echo "$PATH" >>"{log}"; [ "$(wc -l <"{log}")" -lt 4 ] || exit 0'
    made.script("a", f"{stop}\nexport SEEN=$({clean} bash -c 'echo \"$PATH\"')")
    env, errors = made.activated(shell, {"BASH_ENV": str(made.program(ACTIVATE))})
    assert errors == ""
    assert len(log.read_text().splitlines()) == 1
    assert env["SEEN"].startswith(f"{made.folder}/env/bin:")
