# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The only door to the helm binary and to Helm's stored releases.

This package is private to the collection: its names may change in any release.
"""
