"""The reasons in the table of a substitution, beside those of `counterparts`. The panel has them in its languages.

In a text, ``{}`` is the name of a package or a platform, or a version.
"""

from __future__ import annotations

OTHER_BUILD = "the channel has another build there"
NO_VERSION = "the channel has no {} there"
NO_FIT = "{} does not fit the other packages there"
AS_ASKED = "left out as asked"
UNNEEDED = "nothing needs it there"
NO_PACKAGE = "no package for {}, and nothing needs it there"
NEEDED = "{} needs it there"
SOURCE = "its source is for every platform; it is built there"
ONLY_SOURCE = "only a source distribution, which is built at the installation"
WHEEL = "the wheel for this platform"
