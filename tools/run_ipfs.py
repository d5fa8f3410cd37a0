"""``make run-ipfs``: a private IPFS node of its own beside the data folder, and the gateway on it.

``python -m tools.run_ipfs --data FOLDER [flags of noisefs serve]``. The node's repository is ``FOLDER-ipfs``; it and
its ports stay the same from run to run. ``FOLDER-ipfs.toml`` names the node for other commands (``--config``). The node
ends when the gateway has ended.
"""

import json
import os
import secrets
import shlex
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from noisefs.adapters.outbound.ipfs.private import SWARM_KEY_BYTES
from tools.ipfs_daemon import IpfsDaemon, NotReady

PROGRAM: Final = Path(sys.executable).with_name("noisefs")


def main(arguments: list[str]) -> int:
    """Run both; returns the gateway's exit code."""
    if arguments[:1] != ["--data"] or len(arguments) < 2:
        sys.exit(__doc__)
    data = Path(arguments[1])
    repo = data.with_name(f"{data.name}-ipfs")
    daemon = IpfsDaemon(repo, secret=secrets.token_bytes(SWARM_KEY_BYTES))
    gateway: subprocess.Popen[bytes] | None = None

    def end(number: int, _frame: object) -> None:
        """Pass a signal on: the gateway ends first, because it has a last snapshot to send."""
        if gateway is not None:
            gateway.send_signal(number)

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal tells the gateway as well
    signal.signal(signal.SIGTERM, end)
    try:
        with daemon:
            node: dict[str, str | bool] = {
                "name": "here",
                "api": daemon.api,
                "gateway": daemon.gateway,
                "managed": True,
            }
            config = data.with_name(f"{data.name}-ipfs.toml")
            config.write_text(f"[ipfs]\nnodes = [{_inline_table(node)}]\n")
            print(f"IPFS node: {daemon.api} (repository {repo}, log {daemon.log_file})", file=sys.stderr)
            print(f"Other commands find it by --config, e.g.: {_sheet_command(data, config)}", file=sys.stderr)
            gateway = subprocess.Popen(  # noqa: S603 - our own program
                [PROGRAM, "serve", *arguments],
                env={**os.environ, "NOISEFS_IPFS__NODES": json.dumps([node])},
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - one thread
            )
            return gateway.wait()
    except NotReady as exc:
        print(f"the IPFS node did not start:\n{exc}", file=sys.stderr)
        return 1


def _inline_table(fields: Mapping[str, str | bool]) -> str:
    """As TOML has it: JSON's text and truth values are TOML's."""
    return "{ " + ", ".join(f"{name} = {json.dumps(value)}" for name, value in fields.items()) + " }"


def _sheet_command(data: Path, config: Path) -> str:
    return shlex.join([os.path.relpath(PROGRAM), "recovery-sheet", "--data", str(data), "--config", str(config)])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
