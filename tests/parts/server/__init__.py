"""Parts of the tests of the server: builds that a test plays, images, and readers that get no event."""
