"""Where requests to registries go: allowed hosts, origins, proxies, certificates, and pools of connections."""
