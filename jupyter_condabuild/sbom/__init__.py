"""SBOM: which packages an image has, under which licences and in which layers, as SPDX 2.3 and CycloneDX 1.6."""
