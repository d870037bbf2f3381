# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What every module's main() does: options, a connection, errors that a user can read."""

from __future__ import annotations

import os
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ..errors import MeshopsError
from .auth import connection_spec, secrets
from .client import Cluster


class Module(AnsibleModule):
    """An AnsibleModule that shows and logs only options that hold no secret, also where checking them fails.

    :param unlogged: options that are neither logged nor given back
    """

    params: dict[str, t.Any]

    def __init__(self, unlogged: t.Sequence[str], **options: t.Any) -> None:
        self._unlogged = unlogged
        super().__init__(**options)

    def _shown(self) -> dict[str, t.Any]:
        hidden = [*self._unlogged, *(["kubeconfig"] if isinstance(self.params.get("kubeconfig"), dict) else ())]
        # What is no option may be one that was mistyped.
        return {k: v for k, v in self.params.items() if k in self.argument_spec and k not in hidden}

    def _log_invocation(self) -> None:
        params, self.params = self.params, self._shown()
        try:
            super()._log_invocation()
        finally:
            self.params = params

    def _return_formatted(self, kwargs: dict[str, t.Any]) -> None:
        self.no_log_values.update(secrets(self.params.get("kubeconfig")))
        super()._return_formatted({**kwargs, "invocation": {"module_args": self._shown()}})


def run_module(
    argument_spec: dict[str, dict[str, t.Any]],
    run: t.Callable[[AnsibleModule, Cluster], dict[str, t.Any]],
    concurrency: t.Callable[[dict[str, t.Any]], int] = lambda params: 16,
    unlogged: t.Sequence[str] = (),
    **module_options: t.Any,
) -> None:
    """Runs a module: C(run) gets the module and the cluster and gives the result, which holds C(changed).

    :param argument_spec: the module's own options; the connection options are added. Where one of its own is
        called C(host), the API server's URL is C(api_host) alone.
    :param run: the module's work; a MeshopsError that it raises becomes the failure message, and the
        error's C(result), where it has one, is returned beside it; texts in the result's C(warnings) are shown as such
    :param concurrency: requests under way at once, from the module's parameters
    :param unlogged: options that can hold thousands of objects, or secrets: they are neither logged nor given back
    :param module_options: further arguments of AnsibleModule
    """
    module_options.setdefault("supports_check_mode", True)
    spec = {**connection_spec(), **argument_spec}
    if "host" in argument_spec:
        spec["api_host"] = {"type": "str"}
    module = Module(unlogged, argument_spec=spec, **module_options)
    try:
        if "host" not in argument_spec:
            _check_host(module.params.get("host"), argument_spec)
        connection = _with_api_host(module.params) if "host" in argument_spec else module.params
        result = run(module, Cluster(connection, concurrency=concurrency(module.params)))
    except MeshopsError as error:
        module.fail_json(msg=str(error), **_warned(module, error.result))
    module.exit_json(**_warned(module, result))


def _warned(module: AnsibleModule, result: dict[str, t.Any]) -> dict[str, t.Any]:
    """The result without its C(warnings), which Ansible shows on their own."""
    for text in result.get("warnings") or []:
        module.warn(text)
    return {key: value for key, value in result.items() if key != "warnings"}


def _check_host(host: str | None, argument_spec: t.Mapping[str, t.Any]) -> None:
    """Refuses an invalid URL at once: it may be an option of the module that was mistyped.

    :raises MeshopsError: host is not a valid URL
    """
    if host and not host.startswith(("https://", "http://")):
        near = [name for name in argument_spec if name.rstrip("s") == "host"]
        raise MeshopsError(
            f"Invalid host {host!r}: host is the URL of the API server, such as https://10.0.0.1:6443."
            + (f" Did you mean the option {near[0]}?" if near else "")
        )


def _with_api_host(params: dict[str, t.Any]) -> dict[str, t.Any]:
    """The connection options of a module whose option C(host) is something else.

    :raises MeshopsError: host is the API server's URL, so that another cluster would be changed than the user expects
    """
    if "://" in (params["host"] or ""):
        raise MeshopsError(
            f"host is {params['host']!r}: in this module host is a service;"
            " give the URL of the API server as api_host, here or in module_defaults"
        )
    named = any(params[name] for name in ("api_host", "kubeconfig", "context"))
    named = named or any(os.environ.get(name) for name in ("K8S_AUTH_HOST", "K8S_AUTH_KUBECONFIG"))
    if params["api_key"] and not named:
        raise MeshopsError(
            "api_key is given without the API server that it is for: in this module host is a service;"
            " give the URL of the API server as api_host, here or in module_defaults"
        )
    return {**params, "host": params["api_host"]}
