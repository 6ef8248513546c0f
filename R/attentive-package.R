#' @keywords internal
"_PACKAGE"

#' @useDynLib attentive, .registration = TRUE
#' @importFrom Rcpp evalCpp
NULL

#' @importFrom zeallot %<-%
#' @export
zeallot::`%<-%`

#' @importFrom magrittr %>%
#' @export
magrittr::`%>%`
