// Stands in front of the installed file of this name, so that
// <opencv2/opencv.hpp> asks only for the modules that focal uses. imgcodecs is
// named for its declarations alone: gocv's sources mention it, and
// stand_ins.cpp answers for it, so that neither it nor GDAL is linked.
#define HAVE_OPENCV_CORE
#define HAVE_OPENCV_IMGCODECS
#define HAVE_OPENCV_IMGPROC
