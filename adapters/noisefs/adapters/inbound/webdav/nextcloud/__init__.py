"""What ownCloud's and Nextcloud's clients ask for besides plain WebDAV: their paths, chunked uploads, and a few words
about the server. As far as rclone and the clients on phones and desktops need it, and no further.

Source: Nextcloud developer manual, *WebDAV* and *Chunked file upload*; the clients' own sources.
"""
