# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Plans changes from desired and live objects. Pure: no I/O, no clock.

This package is private to the collection: its names may change in any release.
"""
