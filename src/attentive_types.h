// Included by the generated RcppExports.cpp before all else. It needs neither Rcpp's
// sugar and modules nor Eigen, whose header is switched off by its guard: both would
// take longer to compile than the file itself.
#pragma once

#include <Rcpp/Lightest>

#define RcppEigen__RcppEigen__h
