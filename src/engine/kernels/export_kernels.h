// The two functions through which one instruction set is reached from outside.
const Kernels<float> &kernels_float() {
  static const Kernels<float> table = all_kernels<VecFloat>();
  return table;
}
const Kernels<double> &kernels_double() {
  static const Kernels<double> table = all_kernels<VecDouble>();
  return table;
}
