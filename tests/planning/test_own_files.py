"""The user's own files: the files that are included, the files that are left out, and the files that end a build."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from jupyter_condabuild.conda.prefix.drift import drift
from jupyter_condabuild.conda.prefix.snapshot import snapshot
from jupyter_condabuild.errors import UsageError
from jupyter_condabuild.events import Log
from jupyter_condabuild.oci.layout import Store
from jupyter_condabuild.planning.own_files import scanner, secret_detector
from jupyter_condabuild.planning.own_files.credential_names import is_credential
from jupyter_condabuild.planning.own_files.ignore_files import source_files
from jupyter_condabuild.planning.own_files.secret_detector import find
from jupyter_condabuild.planning.own_files.selection import OwnFiles, own_files
from tests.parts.jobs import plan_request
from tests.parts.small_prefix import SITE, SmallPrefix

TOKEN = "ghp_" + "a1B2" * 9
"""Returns a text in the form of a GitHub token."""

KEY = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC\n-----END PRIVATE KEY-----\n"


def own(folder: Path, log: list[str] | None = None, **options: object) -> OwnFiles:
    """Returns the own files of a request, with a store that all calls of a test share."""
    request = plan_request(**options)
    environment = snapshot(request.prefix) if request.prefix else None
    changes = drift(environment) if environment else None
    logged = [] if log is None else log
    with Store(folder / "store") as store:
        return own_files(
            request,
            environment,
            changes,
            store,
            lambda event: logged.append(event.text if isinstance(event, Log) else ""),
        )


@pytest.fixture
def prefix(tmp_path: Path) -> SmallPrefix:
    made = SmallPrefix(tmp_path / "envs/demo")
    made.python()
    return made


def put(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


@pytest.mark.parametrize(
    "path",
    [
        *(".env", "backend/.env", "a/b/.env.local", ".envs/production/db", ".netrc", "x/.pypirc", ".git-credentials"),
        *(".ssh/id_ed25519", ".ssh/config", "keys/id_rsa", ".aws/credentials", ".docker/config.json", ".kube/config"),
        *("jpserver-12-open.html", "runtime/jpserver-31.json", ".Renviron", ".npmrc", "secrets/db.json", ".pgpass"),
        *(".config/gcloud/credentials.db", "kaggle.json", "cert.p12", ".bash_history", "cloud/terraform.tfstate"),
        *("etc/shadow", "etc/shadow-", "etc/sudoers.d/lab", "krb5.keytab", "etc/ssl/private/host.key", "run/secrets/x"),
        *("deploy/kubeconfig", ".streamlit/secrets.toml", "SECRETS.JSON", ".cache/huggingface/token"),
    ],
)
def test_credential_files_are_recognised_by_name(path: str) -> None:
    """This is true for every folder, and for capital and small letters."""
    assert is_credential(path)


@pytest.mark.parametrize(
    "path",
    [
        *("environment.yml", "env/settings.py", "docs/secrets.md", "secrets/__init__.py", "tokens.py", "cacert.pem"),
        *("shadow/model.py", "share/private.txt", "etc/shadowsocks.md", "keytab.py", "sudoers.txt"),
        *("credentials.py", "kernel.json", ".dockerignore", "dotenv.py", "my.env.py", "data/config.json", "aws/x.csv"),
    ],
)
def test_other_files_are_not_recognised_by_name(path: str) -> None:
    """A file with a similar name is not left out."""
    assert not is_credential(path)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (f"x = '{TOKEN}'", "GitHub Token"),
        ("key = AKIAIOSFODNN7ABCDEFG", "AWS Access Key"),
        (f"aws_secret_access_key = '{'aB3/' * 10}'", "AWS Access Key"),
        (f"AwsSecretKey: '{'aB3/' * 10}'", "AWS Access Key"),
        (f"{KEY}", "Private Key"),
        (json.dumps({"private_key": KEY}), "Private Key"),
        ("git clone https://me:hunter22@lab.org/x.git", "Basic Auth Credentials"),
        ("xoxb-123456789012-abcdef", "Slack Token"),
        ("AccountKey=" + "a" * 88, "Azure Storage Account access key"),
        ("glpat-" + "a1b2c3d4e5" * 2, "GitLab Token"),
        ("hf_" + "aB3" * 12, "Hugging Face Token"),
        ("AIza" + "b" * 35, "Google API Key"),
        ("sk-ant-api03-" + "x" * 40, "Anthropic API Key"),
        ("https://conda.lab.org/t/tk-0123abcd-0123-4567-89ab-0123456789ab/main", "conda Token"),
        ('"Authorization": "Bearer abcdefghij1234567890"', "Authorization Header"),
        (
            ".".join(
                base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")
                for part in ({"alg": "HS256"}, {"sub": "1234567890"})
            )
            + ".sflKxwRJSMeKKF2QT4fwpMeJf36POk6yJV_adQssw5c",
            "JSON Web Token",
        ),
    ],
)
def test_secrets_in_a_known_form_are_found(text: str, kind: str) -> None:
    """The line and the kind are found, also in a notebook's output."""
    assert find(f"# one\n{text}\n".encode(), "notes.txt") == [(2, kind)]
    output = json.dumps({"outputs": [{"text": [f"printed {text}\n"]}]}, indent=1)
    assert [found for _, found in find(output.encode(), "a.ipynb")] == [kind]
    assert find(f"{text}\n".encode("utf-16"), "notes.txt") == [(1, kind)]


@pytest.mark.parametrize(
    "text",
    [
        "https://user:password@host/",
        "postgresql://mydatabase:mydatabase@localhost/x",
        "https://u:p@host/",
        "https://${USER}:${PASSWORD}@host",
        "postgres://me:<password>@db",
        "key AKIAIOSFODNN7EXAMPLE",
        'MARK = b"-----BEGIN OPENSSH PRIVATE KEY-----"\nEND = b"-----END"',
        "https://discuss.org/t/a-topic-of-interest/123/",
        "mail me:you@lab.org",
        "export TOKEN=abcdefghijk",
    ],
)
def test_examples_and_templates_are_no_secrets(text: str) -> None:
    """Every second project has examples in its documentation."""
    assert find(text.encode(), "readme.md") == []


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("export API_TOKEN=abc-def-123\n", True),
        ("setenv DB_PASSWORD 'correct horse'\nset -gx DB_PASSWORD correcthorse\n", True),
        ('export MY_SECRET="abcdef123"\n', True),
        ('export API_TOKEN="$(cat file)"\nexport API_TOKEN=$OTHER_TOKEN\n', False),
        ("export TOKEN_FILE=/run/token\nexport MODE=production\nexport PATH=/opt/x:$PATH\n", False),
    ],
)
def test_a_script_that_sets_variables_is_checked_by_their_names(text: str, secret: bool) -> None:
    """conda runs the script whenever the environment is activated."""
    assert bool(find(text.encode(), "etc/conda/activate.d/mine.sh")) is secret


def test_a_kernel_and_the_settings_of_conda_and_pip_are_checked_by_names() -> None:
    """A login in a URL needs no known form. The image's copy of the environment's own settings contains no login."""
    assert find(b'{"env": {"HF_TOKEN": "abc123def"}}', "share/jupyter/kernels/x/kernel.json") == [
        (1, "Secret Variable")
    ]
    for name, text in ((".condarc", b"- https://c.org/t/abc/x\n"), ("pip.conf", b"index-url = https://u:x@c.org\n")):
        assert [line for line, _ in find(text, name)] == [1]
        assert find(text, name, scrubbed=True) == []


def test_a_text_without_a_secret_does_not_import_the_library() -> None:
    """The import takes longer than the search of a hundred files, and many licences have the letters of AWS."""
    code = "import sys; from jupyter_condabuild.planning.own_files.secret_detector import find"
    text = "the laws of the AWS region; Authorization: Bearer abcdefghij1234567890"
    code += f"; print(find({text.encode()!r}, 'LICENSE'), 'detect_secrets' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[(1, 'Authorization Header')] False\n"


def test_a_line_of_any_length_is_searched_in_bounded_time() -> None:
    """A secret across two parts of a line is found, too."""
    for offset in (7_980, 8_000, 40_000):
        assert find(b"x" * offset + b" " + TOKEN.encode() + b" y", "a.json") == [(1, "GitHub Token")]
    assert find(b"eyJ" * 20_000 + b"//a:" * 20_000 + b"sk-" * 20_000, "a.json") == []


def test_credentials_in_an_included_folder_are_left_out(tmp_path: Path) -> None:
    """They are recognised by name and mode in every folder, and a message names them."""
    files = dict.fromkeys(("a.py", "backend/.env", ".ssh/id_rsa", "deep/.docker/config.json", "open", "x/closed"), "x")
    folder = put(tmp_path / "project", files)
    folder.chmod(0o755)
    (folder / "x/closed").chmod(0o600)
    found = own(tmp_path, lockfile="lock", include=folder)
    assert {name for name in found.included if (folder / name).is_file()} == {"a.py", "open"}
    assert {str(path.relative_to(folder)) for path in found.left_out} == files.keys() - {"a.py", "open"}
    (warning,) = found.warnings
    assert warning.code == "credentials-left-out"
    assert warning.message.startswith(f"4 files for credentials are not in the image: {folder}/")


def test_a_private_folder_does_not_make_its_files_private(tmp_path: Path) -> None:
    """With the umask 077, every file is private, and the image gets all of them."""
    folder = put(tmp_path / "project", {"a.py": "x"})
    (folder / "a.py").chmod(0o600)
    folder.chmod(0o700)
    assert own(tmp_path, lockfile="lock", include=folder).included == {"a.py"}


def test_more_than_ten_names_are_counted(tmp_path: Path) -> None:
    """The message stays short."""
    folder = put(tmp_path / "project", {f"{number}/.env": "" for number in range(13)})
    (warning,) = own(tmp_path, lockfile="lock", include=folder).warnings
    assert warning.message.count(".env") == 10
    assert warning.message.endswith("and 3 more.")


def test_a_folder_of_credentials_is_included_without_its_files(tmp_path: Path) -> None:
    """The image of a user who includes .ssh has none of its files."""
    folder = put(tmp_path / ".ssh", {"config": "x", "known_hosts": "x"})
    assert own(tmp_path, lockfile="lock", include=folder).included == frozenset()


def test_a_secret_is_named_by_file_line_and_kind_and_never_by_its_value(tmp_path: Path) -> None:
    """The error is the same for each reader."""
    folder = put(tmp_path / "project", {"a/config.py": f"\n\nT = '{TOKEN}'\n", "b.py": "x"})
    found = own(tmp_path, lockfile="lock", include=folder)
    assert found.refusal
    assert found.refusal.message == f"1 file may contain secrets: {folder}/a/config.py:3 (GitHub Token)."
    assert TOKEN not in f"{found.refusal.message}{found.refusal.hint}{found}"


@pytest.mark.parametrize("given", ["absolute", "a/config.py", "a", "."])
def test_files_that_the_user_allows_are_included(tmp_path: Path, given: str) -> None:
    """A file is named by its full path or by its path in the folder. A folder means its files."""
    folder = put(tmp_path / "project", {"a/config.py": TOKEN, "a/.env": "x", "ab/config.py": TOKEN})
    path = [str(folder / "a/config.py"), str(folder / "a/.env")] if given == "absolute" else [given]
    found = own(tmp_path, lockfile="lock", include=folder, allow_secret=path)
    assert "a/config.py" not in str(found.findings)
    assert ("a/.env" in found.included) is (given != "a/config.py")
    assert bool(found.findings) is (given != ".")


def test_the_scripts_untracked_files_and_notebooks_of_an_environment_are_searched(
    prefix: SmallPrefix, tmp_path: Path
) -> None:
    """Changed files of packages are searched. Unchanged files of packages and conda's own records are not searched."""
    prefix.add("tool", files={"share/tool.txt": b"tool\n", "share/example.key": KEY.encode()})
    prefix.write("share/tool.txt", TOKEN.encode())
    prefix.write("etc/conda/activate.d/x.sh", b"export API_TOKEN=abcdef123\n")
    prefix.write("share/work.ipynb", json.dumps({"outputs": [TOKEN]}).encode())
    prefix.write("share/.env", b"x")
    prefix.write("conda-meta/state", json.dumps({"env_vars": {"T": TOKEN}}).encode())
    found = own(tmp_path, prefix=prefix.path)
    names = [str(finding.path.relative_to(prefix.path)) for finding in found.findings]
    assert names == ["etc/conda/activate.d/x.sh", "share/tool.txt", "share/work.ipynb"]
    assert found.withheld == {"share/.env"}


def test_the_files_of_pip_are_searched_except_for_examples_from_an_index(prefix: SmallPrefix, tmp_path: Path) -> None:
    """A changed example, and the example of a local wheel, can contain the user's own secret."""
    login = b"# https://me:s3cr3t@lab.org\n"
    content = {f"{SITE}/web/test/test.key": KEY.encode(), f"{SITE}/web/__init__.py": login, f"{SITE}/web/b.py": login}
    prefix.pip("web", files=content)
    assert own(tmp_path, prefix=prefix.path).findings == ()
    prefix.write(f"{SITE}/web/test/test.key", KEY.encode() + b"#\n")
    prefix.write(f"{SITE}/web/b.py", login + b"#\n")
    assert [finding.path.name for finding in own(tmp_path, prefix=prefix.path).findings] == ["b.py", "test.key"]
    local = {path.replace("/web/", "/mine/"): data for path, data in content.items()}
    prefix.pip("mine", files=local, direct_url={"url": "file:///tmp/mine.whl", "archive_info": {}})
    prefix.pip("lab", files={f"{SITE}/lab/settings.py": TOKEN.encode()})
    found = own(tmp_path, prefix=prefix.path).findings
    assert {finding.path.parts[-2] for finding in found} == {"lab", "mine", "test", "web"}
    assert len(found) == 6


def editable(prefix: SmallPrefix, root: Path, files: dict[str, str]) -> Path:
    put(root, files)
    info = prefix.pip("proj", direct_url={"url": root.as_uri(), "dir_info": {"editable": True}})
    (info.parent / "proj.pth").write_text(f"{root}\n")
    return root


def test_the_ignore_files_of_an_editable_source_are_used(prefix: SmallPrefix, tmp_path: Path) -> None:
    """All three kinds, nested files and exceptions have the same meaning as in Git and Docker."""
    files = {
        **dict.fromkeys(("proj/__init__.py", "proj/a.tmp", "proj/keep.tmp", "notes/x", "mine", "proj/sub/y.csv"), ""),
        ".gitignore": "*.tmp\n!keep.tmp\n/notes/\n",
        "proj/sub/.gitignore": "*.csv\n",
        ".git/info/exclude": "mine\n",
        ".dockerignore": "proj/docs\n",
        "proj/docs/z.md": "",
    }
    root = editable(prefix, tmp_path / "src/proj", files)
    log: list[str] = []
    kept = own(tmp_path, log, prefix=prefix.path).sources[root]
    assert set(kept) == {".gitignore", ".dockerignore", "proj/__init__.py", "proj/keep.tmp", "proj/sub/.gitignore"}
    names = "mine, notes/x, proj/a.tmp, proj/docs/z.md, proj/sub/y.csv"
    assert log == [f"Not in the image, because ignore files of proj name them: {names}."]


def test_the_rules_are_the_same_as_in_git(prefix: SmallPrefix, tmp_path: Path) -> None:
    """`git check-ignore` gives the same result for each file in a repository."""
    names = ["p/__init__.py", "p/a.log", "p/b/c.dat", "p/b/keep.dat", "build/x", "p/#x", "p/ y", "p/deep/build/z"]
    top = put(tmp_path / "repository", {".gitignore": "*.log\nbuild/\n\\#x\n**/b/*.dat\n!keep.dat\n"})
    root = editable(prefix, top / "src", {**dict.fromkeys(names, ""), ".gitignore": "p/ y\n"})
    subprocess.run(["git", "init", "-q", top], check=True)
    kept = own(tmp_path, prefix=prefix.path).sources[root]
    lines = "\n".join(names)
    command = ["git", "check-ignore", "--stdin"]
    asked = subprocess.run(command, cwd=root, input=lines, text=True, capture_output=True)
    ignored = [name.strip('"') for name in asked.stdout.splitlines()]
    assert set(kept) - {".gitignore"} == set(names).difference(ignored)
    assert len(ignored) == 6


def test_files_that_an_import_needs_are_kept_although_git_ignores_them(prefix: SmallPrefix, tmp_path: Path) -> None:
    """Extension modules, metadata and generated modules are in no repository. A module of settings is not generated."""
    files = {
        "proj/__init__.py": "",
        "proj/fast.cpython-311-x86_64-linux-gnu.so": "x",
        "proj/_version.py": "# file generated by setuptools-scm\n",
        "proj/local_settings.py": "x = 1\n",
        "proj.egg-info/PKG-INFO": "",
        ".gitignore": "*.so\n_version.py\nlocal_settings.py\n*.egg-info/\n",
    }
    root = editable(prefix, tmp_path / "src/proj", files)
    kept = own(tmp_path, prefix=prefix.path).sources[root]
    assert set(files) - set(kept) == {"proj/local_settings.py"}


def test_rules_that_match_every_module_are_not_used(prefix: SmallPrefix, tmp_path: Path) -> None:
    """A .dockerignore with ``*``, or a repository of dotfiles around the project, would leave nothing to import."""
    put(tmp_path, {".gitignore": "*\n", ".git/HEAD": ""})
    root = editable(prefix, tmp_path / "src/proj", {"proj/__init__.py": "", ".dockerignore": "*\n!requirements.txt\n"})
    assert "proj/__init__.py" in own(tmp_path, prefix=prefix.path).sources[root]


def test_an_editable_source_is_searched_and_its_credentials_are_left_out(prefix: SmallPrefix, tmp_path: Path) -> None:
    """The rules are the same as for an included folder."""
    files = {"proj/__init__.py": f"T = '{TOKEN}'\n", "secrets/db.json": "{}", "proj/.netrc": "x"}
    root = editable(prefix, tmp_path / "src/proj", files)
    found = own(tmp_path, prefix=prefix.path)
    assert found.sources[root] == ("proj/__init__.py",)
    assert [str(finding) for finding in found.findings] == [f"{root}/proj/__init__.py:1 (GitHub Token)"]


def test_files_without_secrets_are_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """This is true until a file changes. A folder with a secret is read every time."""
    folder = put(tmp_path / "project", {"a.py": "x", "b.py": "y"})
    read: list[str] = []
    found = secret_detector.find
    monkeypatch.setattr(
        secret_detector, "find", lambda data, name, **how: read.append(name) or found(data, name, **how)
    )
    for expected in (2, 0):
        read.clear()
        own(tmp_path, lockfile="lock", include=folder)
        assert len(read) == expected
    (folder / "b.py").write_text(TOKEN)
    for _ in range(2):
        read.clear()
        assert own(tmp_path, lockfile="lock", include=folder).findings
        assert len(read) == 2


def test_a_search_that_takes_too_long_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The files after the limit are counted. No later build treats them as searched."""
    folder = put(tmp_path / "project", {"a.py": TOKEN})
    monkeypatch.setattr(scanner, "SECONDS", -1.0)
    (warning,) = own(tmp_path, lockfile="lock", include=folder).warnings
    assert (warning.code, warning.message[-7:]) == ("secrets-not-searched", "1 file.")
    monkeypatch.undo()
    assert own(tmp_path, lockfile="lock", include=folder).findings


def test_links_and_pipes_are_not_followed(tmp_path: Path) -> None:
    """A link stays a link in the image. A pipe would wait for ever."""
    folder = put(tmp_path / "project", {"a.py": "x"})
    put(tmp_path, {"outside": TOKEN})
    (folder / "link").symlink_to(tmp_path / "outside")
    os.mkfifo(folder / "pipe")
    assert own(tmp_path, lockfile="lock", include=folder).findings == ()


@pytest.mark.parametrize("name", [".gitignore", ".dockerignore"])
@pytest.mark.parametrize("fault", ["too large", "a device"])
def test_an_ignore_file_that_cannot_be_read_is_an_error(tmp_path: Path, name: str, fault: str) -> None:
    """Without its rules, the files that it names would go into the image."""
    (tmp_path / "mine.py").write_text("")
    if fault == "a device":
        (tmp_path / name).symlink_to("/dev/zero")
    else:
        (tmp_path / name).write_text("secret.py\n" * 200_000)
    with pytest.raises(UsageError, match=f"{name} cannot be read"):
        source_files(tmp_path)
    (tmp_path / name).unlink()
    (tmp_path / name).mkdir()  # a folder has no rules
    assert source_files(tmp_path).kept == (name, "mine.py")
