# Build settings that every script shares. Source it: from bash out of any
# directory, from sh out of a script that lies in a folder of the repository.
#
#   FOCAL_TAGS    build tags: OpenCV's where the installed one fits, else none,
#                 and then models/vision is its Go twin. A caller who has set
#                 it (even to nothing) keeps it.
#   FOCAL_OPENCV  in words: which OpenCV is used, or why none
#   CGO_*         compiler flags for gocv, which its tag customenv leaves to us

focal_root=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE:-$0}")/.." && pwd)

# Prints "version folder" of the installed OpenCV that has the modules we use.
focal_opencv() (
	for dir in /usr/local/include/opencv4 /usr/include/opencv4; do
		header=$dir/opencv2/core/version.hpp
		[ -r "$header" ] && [ -r "$dir/opencv2/imgproc.hpp" ] && [ -r "$dir/opencv2/imgcodecs.hpp" ] || continue
		echo "$(sed -n 's/^#define CV_VERSION_M[AI][JN]OR *//p' "$header" | paste -sd.) $dir"
		return
	done
)

focal_found=$(focal_opencv)
case $focal_found in
"4.6 "*)
	# Only 4.6 has been tried: later ones declare the picture writers in other
	# words than models/vision/stand_ins.cpp does.
	: "${FOCAL_TAGS=customenv gocv_specific_modules opencv}"
	FOCAL_OPENCV="OpenCV 4.6 in ${focal_found#* }"
	export CGO_CPPFLAGS="-I$focal_root/models/vision/opencv/include -I${focal_found#* }"
	export CGO_CXXFLAGS="-O2 --std=c++11 -DNDEBUG"
	;;
"")
	FOCAL_OPENCV="no OpenCV: libopencv-core-dev, libopencv-imgproc-dev or libopencv-imgcodecs-dev is not installed"
	;;
*)
	FOCAL_OPENCV="no OpenCV: found ${focal_found% *} in ${focal_found#* }, and the build is made for 4.6"
	;;
esac
: "${FOCAL_TAGS=}"
export FOCAL_TAGS FOCAL_OPENCV
unset focal_found focal_root
unset -f focal_opencv

# OpenCV brings OpenBLAS, which reads this when it is loaded.
export OPENBLAS_NUM_THREADS=1
