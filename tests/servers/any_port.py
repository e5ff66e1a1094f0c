"""aiosmtpd on a free port."""

from aiosmtpd.controller import Controller


class AnyPort(Controller):
    """aiosmtpd's controller takes the port 0, and then looks whether that one answers."""

    def _trigger_server(self) -> None:
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()
