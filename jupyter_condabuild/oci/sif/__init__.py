"""Writes an image as a SIF file, the format of Apptainer and Singularity, without these programs and without root."""
