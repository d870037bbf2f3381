# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Installs, rotates and renews the certificate authority of a mesh, without downtime.

This package is private to the collection: its names may change in any release.
"""
