"""OpenCV under the name that other files import it by; it is loaded in :mod:`medn_lab.data.frames`."""

from medn_lab.data.frames import cv2 as cv2
