"""WsgiDAV behind the loop: locks, COPY, MOVE, PROPPATCH and whatever else is rare."""
