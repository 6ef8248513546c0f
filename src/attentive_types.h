// Rcpp as the doorway uses it, without modules and sugar, which would double the time to
// compile. The generated RcppExports.cpp includes this first; it would include Eigen too,
// which nothing here needs: the guard of that header switches it off.
#pragma once

#define RCPP_NO_MODULES
#define RCPP_NO_SUGAR
#include <Rcpp.h>

#define RcppEigen__RcppEigen__h
