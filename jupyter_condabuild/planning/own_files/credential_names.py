"""The names of files in which tools keep credentials. A build leaves out such files, in every folder.

The patterns are also lines of the exported ``.dockerignore``. A pattern without a slash is the name of a file or
folder; ``*`` stands for any characters but a slash. Files such as ``*.pem`` or ``pip.conf`` are not in the list: they
are judged by their content (see `secret_detector`).

Source: the documentation of each tool; github.com/github/gitignore.
"""

from __future__ import annotations

import functools
import re

SYSTEM = (
    "etc/shadow",
    "etc/shadow-",
    "etc/gshadow",
    "etc/gshadow-",
    "etc/master.passwd",
    "etc/security/opasswd",
    "etc/sudoers",
    "etc/sudoers.d",
    "etc/ssl/private",
    "etc/pki/*/private",
    "etc/letsencrypt",
    "etc/wireguard",
    "etc/munge",
    "ssh_host_*_key",
    "system-connections/*.nmconnection",
    "*.keytab",
    "krb5cc_*",
    "run/secrets",
)
"""Files of the system: passwords, keys of the host, tickets, and what is given to containers."""

PATTERNS = (
    *SYSTEM,
    # shells, editors and interpreters: variables and histories
    ".env*",
    ".flaskenv",
    ".Renviron",
    ".*_history",
    ".ipython/profile_*/history.sqlite",
    # logins of programs that download or upload
    ".netrc",
    "_netrc",
    ".pypirc",
    ".npmrc",
    ".yarnrc.yml",
    ".gem/credentials",
    ".cargo/credentials*",
    ".git-credentials",
    ".config/git/credentials",
    ".config/gh/hosts.yml",
    ".config/hub",
    ".docker/config.json",
    ".dockercfg",
    ".dockerconfigjson",
    "containers/auth.json",
    ".rattler/credentials.json",
    ".mamba/auth/*",
    ".continuum/*/tokens",
    ".conda/aau_token*",
    "anaconda-client/tokens",
    # keys
    ".ssh",
    "id_rsa",
    "id_dsa",
    "id_ecdsa",
    "id_ecdsa_sk",
    "id_ed25519",
    "id_ed25519_sk",
    ".gnupg",
    "*.ppk",
    "*.p12",
    "*.pfx",
    "*.jks",
    "*.keystore",
    "*.kdbx",
    ".password-store",
    # clouds and clusters
    ".aws",
    ".azure",
    ".boto",
    ".s3cfg",
    "rclone.conf",
    ".config/gcloud",
    "application_default_credentials.json",
    "client_secret*.json",
    "service-account*.json",
    "service_account*.json",
    ".kube",
    "kubeconfig",
    "*.kubeconfig",
    ".terraform.d",
    ".terraformrc",
    "terraform.tfstate*",
    "*.auto.tfvars",
    ".vault-token",
    ".databrickscfg",
    ".snowsql/config",
    ".kaggle",
    "kaggle.json",
    ".huggingface/token",
    "huggingface/token",
    "huggingface/stored_tokens",
    # databases and web servers
    ".pgpass",
    ".my.cnf",
    ".mylogin.cnf",
    ".htpasswd",
    # Jupyter: servers and kernels that run, and what signs their cookies and notebooks
    "jpserver-*.json",
    "nbserver-*.json",
    "jpserver-*-open.html",
    "nbserver-*-open.html",
    "kernel-*-*-*-*-*.json",
    "jupyter_cookie_secret",
    "notebook_cookie_secret",
    "notebook_secret",
    "nbsignatures.db",
    "jupyterhub_cookie_secret",
    # folders and files that say what they hold
    "secrets/*.json",
    "secrets/*.y*ml",
    "secrets/*.toml",
    "secrets/*.ini",
    "secrets/*.txt",
    "secrets/*.key",
    "secrets/*.pem",
    ".secrets",
    "secret.json",
    "secret.y*ml",
    "secret.toml",
    "secrets.json",
    "secrets.y*ml",
    "secrets.toml",
    "credentials.json",
    "credentials.y*ml",
    "credentials.toml",
    "credentials.ini",
    "credentials.csv",
    "token.json",
    "token.pickle",
)


_FOLDERS = (".ssh", ".gnupg", ".aws", ".azure", ".kube", ".password-store")
"""Folders of a home folder whose files are all credentials."""


def _expression(pattern: str) -> str:
    return re.escape(pattern).replace(r"\*", "[^/]*")


@functools.cache  # takes 10 ms, and most builds have no files of their own
def _names(patterns: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile(rf"(?:^|/)(?:{'|'.join(map(_expression, patterns))})(?:/|$)", re.IGNORECASE)


def is_credential(path: str) -> bool:
    """Whether a path (with ``/``, relative to any folder) has the name of a file that holds credentials."""
    return bool(_names(PATTERNS).search(path))


def is_credential_place(path: str) -> bool:
    """Whether an absolute path leads to credentials of the system, or into a folder of credentials.

    Other names of folders above a file say nothing: a project may lie in a folder ``.envs``.
    """
    return bool(_names((*SYSTEM, *_FOLDERS)).search(path))
