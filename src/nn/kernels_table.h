// The kernels of one instruction set and their table. Included inside an unnamed namespace, after the lanes
// and the products.
#include "nn/kernels_impl.h"
#include "nn/winograd_impl.h"

template <class T>
constexpr Kernels<T> table() {
  return {norm_forward<T>,
          norm_backward<T>,
          adam,
          adam_publish<T>,
          pack<T>,
          weight_grad<T>,
          to_f32<T>,
          from_f32<T>,
          tiny_conv<T>,
          winograd_tiles<T>,
          winograd_grad_x<T>,
          winograd_grad_dy<T>,
          winograd_product<T>,
          winograd_weight_grad<T>,
          winograd_publish<T>};
}
