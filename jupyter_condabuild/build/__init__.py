"""From a request to an image: the only place where conda and oci meet."""
