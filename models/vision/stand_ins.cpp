//go:build opencv

// gocv compiles its picture readers and writers whether they are wanted or
// not. Linking OpenCV's imgcodecs for them would bring GDAL and some two
// hundred libraries, for functions that focal never calls: pictures are
// decoded by libvips, in its own room. These throw, so that a call by mistake
// is loud. Their signatures are those of OpenCV 4.6; scripts/env.sh builds
// with them only where the installed headers agree.

#include <opencv2/core.hpp>
#include <opencv2/imgcodecs.hpp>

[[noreturn]] static void refuse(const char *function) {
  CV_Error(cv::Error::StsNotImplemented,
           std::string(function) + ": focal builds OpenCV without imgcodecs");
}

namespace cv {

Mat imread(const String &, int) { refuse("imread"); }
bool imreadmulti(const String &, std::vector<Mat> &, int) { refuse("imreadmulti"); }
bool imreadmulti(const String &, std::vector<Mat> &, int, int, int) { refuse("imreadmulti"); }
bool imwrite(const String &, InputArray, const std::vector<int> &) { refuse("imwrite"); }
bool imencode(const String &, InputArray, std::vector<uchar> &, const std::vector<int> &) { refuse("imencode"); }
Mat imdecode(InputArray, int) { refuse("imdecode"); }
Mat imdecode(InputArray, int, Mat *) { refuse("imdecode"); }

}  // namespace cv
