"""WsgiDAV behind the loop: locks, COPY, MOVE and whatever else is rare."""
