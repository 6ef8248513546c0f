library(testthat)
library(attentive)

test_check("attentive")
