// The kernels, written once over the sixteen lanes of simd_portable.h or simd_avx512.h. Included inside an
// unnamed namespace, and without the standard library's inline functions: the linker must never choose a copy
// compiled for another processor.

template <class T>
inline size_t image_stride(const NormPool<T>& l) {
  return static_cast<size_t>(l.channels) * l.size * l.size;
}

template <class T>
inline int out_positions(const NormPool<T>& l) {
  return l.pool ? (l.size / 2) * (l.size / 2) : l.size * l.size;
}

// Mean, 1 / deviation and running values of 16 channels. Shifted by the first pixel, against cancellation.
template <class T>
void batch_statistics(const NormPool<T>& l, int block) {
  const int positions = l.size * l.size;
  const double count = static_cast<double>(l.batch) * positions;
  double sums[16] = {}, squares[16] = {};
  const T* base = l.y + static_cast<size_t>(block) * positions * 16;
  const Vec shift = load(base);
  for (int n = 0; n < l.batch; ++n) {
    const T* q = base + n * image_stride(l);
    Vec s0 = set1(0), s1 = s0, q0 = s0, q1 = s0;
    int i = 0;
    for (; i + 1 < positions; i += 2) {
      const Vec a = sub(load(q + i * 16), shift), b = sub(load(q + i * 16 + 16), shift);
      s0 = add(s0, a), s1 = add(s1, b);
      q0 = mul_add(a, a, q0), q1 = mul_add(b, b, q1);
    }
    if (i < positions) {
      const Vec a = sub(load(q + i * 16), shift);
      s0 = add(s0, a), q0 = mul_add(a, a, q0);
    }
    add_to(sums, add(s0, s1));
    add_to(squares, add(q0, q1));
  }
  float first[16];
  store(first, shift);
  for (int k = 0; k < 16; ++k) {
    const int c = block * 16 + k;
    const double m = sums[k] / count;
    double v = squares[k] / count - m * m;
    if (v < 0) v = 0;
    l.mean[c] = static_cast<float>(m + first[k]);
    l.istd[c] = static_cast<float>(1 / __builtin_sqrt(v + 1e-5));
    l.running_mean[c] = 0.9F * l.running_mean[c] + 0.1F * l.mean[c];
    l.running_var[c] =
        0.9F * l.running_var[c] + 0.1F * static_cast<float>(v * count / (count > 1 ? count - 1 : 1));
  }
}

template <class T>
void plain_output(const NormPool<T>& l, const T* q, T* out, Vec scale, Vec offset) {
  const Vec zero = set1(0);
  for (int i = 0; i < l.size * l.size; ++i)
    store(out + i * 16, max(mul_add(load(q + i * 16), scale, offset), zero));
}

template <class T>
void pooled_output(const NormPool<T>& l, const T* q, T* out, uint8_t* index, Vec scale, Vec offset) {
  const Vec zero = set1(0);
  const int half = l.size / 2;
  for (int r = 0; r < half; ++r)
    for (int x = 0; x < half; ++x) {
      const T* w = q + (2 * r * l.size + 2 * x) * 16;
      Vec best = mul_add(load(w), scale, offset);
      Index k = index_of(0);
      auto consider = [&](const T* p, uint8_t number) {
        const Vec v = mul_add(load(p), scale, offset);
        const Mask m = greater(v, best);
        best = select(m, v, best);
        k = select(m, index_of(number), k);
      };
      consider(w + 16, 1);
      consider(w + l.size * 16, 2);
      consider(w + l.size * 16 + 16, 3);
      k = select(greater(best, zero), k, index_of(4));
      store(out + (r * half + x) * 16, max(best, zero));
      store_index(index + (r * half + x) * 16, k);
    }
}

template <class T>
void norm_forward(const NormPool<T>& l, int block, Mode mode) {
  const int c = block * 16;
  Vec mean = set1(0), istd = set1(1);
  if (l.normalise && mode == Mode::kTraining) {
    batch_statistics(l, block);
    mean = load(l.mean + c), istd = load(l.istd + c);
  } else if (l.normalise) {
    mean = load(l.running_mean + c);
    istd = div(set1(1), root(add(load(l.running_var + c), set1(1e-5F))));
  }
  const Vec scale = mul(load(l.gamma + c), istd);
  const Vec offset = sub(load(l.beta + c), mul(mean, scale));
  const size_t out_stride = static_cast<size_t>(l.channels) * out_positions(l);
  for (int n = 0; n < l.batch; ++n) {
    const T* q = l.y + n * image_stride(l) + static_cast<size_t>(c) * l.size * l.size;
    const size_t at = n * out_stride + static_cast<size_t>(c) * out_positions(l);
    if (l.pool)
      pooled_output(l, q, l.out + at, l.index + at, scale, offset);
    else
      plain_output(l, q, l.out + at, scale, offset);
  }
}

struct NormVectors {
  Vec mean, istd, scale, offset;
};

template <class T>
struct GradSums {
  Vec dz, dz_y;
};

// Sums over one image of dz and dz * (y - mean), dz the gradient where the unit is open.
template <class T>
GradSums<T> plain_sums(const NormPool<T>& l, const T* q, const T* d, const NormVectors& v) {
  GradSums<T> s{set1(0), set1(0)};
  for (int i = 0; i < l.size * l.size; ++i) {
    const Vec y = load(q + i * 16);
    const Vec dz = select(greater(mul_add(y, v.scale, v.offset), set1(0)), load(d + i * 16), set1(0));
    s.dz = add(s.dz, dz);
    s.dz_y = mul_add(dz, sub(y, v.mean), s.dz_y);
  }
  return s;
}

template <class T>
GradSums<T> pooled_sums(const NormPool<T>& l, const T* q, const T* d, const uint8_t* index,
                        const NormVectors& v) {
  GradSums<T> s{set1(0), set1(0)};
  const int half = l.size / 2;
  for (int r = 0; r < half; ++r)
    for (int x = 0; x < half; ++x) {
      const T* w = q + (2 * r * l.size + 2 * x) * 16;
      const Index k = load_index(index + (r * half + x) * 16);
      Vec y = select(equals(k, 1), load(w + 16), load(w));
      y = select(equals(k, 2), load(w + l.size * 16), y);
      y = select(equals(k, 3), load(w + l.size * 16 + 16), y);
      const Vec dz = select(equals(k, 4), set1(0), load(d + (r * half + x) * 16));
      s.dz = add(s.dz, dz);
      s.dz_y = mul_add(dz, sub(y, v.mean), s.dz_y);
    }
  return s;
}

// dy = scale * dz - (y * k2 + k0), over y.
template <class T>
void plain_gradient(const NormPool<T>& l, T* q, const T* d, const NormVectors& v, Vec k2, Vec k0) {
  for (int i = 0; i < l.size * l.size; ++i) {
    const Vec y = load(q + i * 16);
    const Mask open = greater(mul_add(y, v.scale, v.offset), set1(0));
    const Vec e = select(open, mul(load(d + i * 16), v.scale), set1(0));
    store(q + i * 16, sub(e, mul_add(y, k2, k0)));
  }
}

template <class T>
void pooled_gradient(const NormPool<T>& l, T* q, const T* d, const uint8_t* index, const NormVectors& v,
                     Vec k2, Vec k0) {
  const int half = l.size / 2;
  for (int r = 0; r < half; ++r)
    for (int x = 0; x < half; ++x) {
      T* w = q + (2 * r * l.size + 2 * x) * 16;
      T* const pixels[4] = {w, w + 16, w + l.size * 16, w + l.size * 16 + 16};
      const Index k = load_index(index + (r * half + x) * 16);
      const Vec e = mul(load(d + (r * half + x) * 16), v.scale);
      for (uint8_t j = 0; j < 4; ++j) {
        const Vec own = select(equals(k, j), e, set1(0));
        store(pixels[j], sub(own, mul_add(load(pixels[j]), k2, k0)));
      }
    }
}

template <class T>
void norm_backward(const NormPool<T>& l, int block) {
  const int c = block * 16;
  NormVectors v{load(l.mean + c), load(l.istd + c), set1(0), set1(0)};
  v.scale = mul(load(l.gamma + c), v.istd);
  v.offset = sub(load(l.beta + c), mul(v.mean, v.scale));
  const size_t in_at = static_cast<size_t>(c) * l.size * l.size;
  const size_t out_at = static_cast<size_t>(c) * out_positions(l);
  const size_t out_stride = static_cast<size_t>(l.channels) * out_positions(l);

  Vec s1 = set1(0), s2 = set1(0);
  for (int n = 0; n < l.batch; ++n) {
    const T* q = l.y + n * image_stride(l) + in_at;
    const size_t at = n * out_stride + out_at;
    const GradSums<T> s =
        l.pool ? pooled_sums(l, q, l.dout + at, l.index + at, v) : plain_sums(l, q, l.dout + at, v);
    s1 = add(s1, s.dz), s2 = add(s2, s.dz_y);
  }
  store(l.dbeta + c, s1);
  Vec k2 = set1(0), k0 = set1(0);
  if (l.normalise) {
    store(l.dgamma + c, mul(s2, v.istd));
    const Vec share = set1(1.0F / (static_cast<float>(l.batch) * static_cast<float>(l.size * l.size)));
    k2 = mul(v.scale, mul(mul(s2, share), mul(v.istd, v.istd)));
    k0 = sub(mul(v.scale, mul(s1, share)), mul(v.mean, k2));
  }
  for (int n = 0; n < l.batch; ++n) {
    T* q = l.y + n * image_stride(l) + in_at;
    const size_t at = n * out_stride + out_at;
    if (l.pool)
      pooled_gradient(l, q, l.dout + at, l.index + at, v, k2, k0);
    else
      plain_gradient(l, q, l.dout + at, v, k2, k0);
  }
}

// Sixteen weights: the new values, also stored.
inline Vec adam_lanes(float* p, float* m, float* v, const float* g, const AdamStep& step) {
  const Vec grad = load(g);
  const Vec first = mul_add(set1(1 - AdamStep::kBeta1), grad, mul(set1(AdamStep::kBeta1), load(m)));
  const Vec second =
      mul_add(mul(set1(1 - AdamStep::kBeta2), grad), grad, mul(set1(AdamStep::kBeta2), load(v)));
  store(m, first);
  store(v, second);
  const Vec below = mul_add(root(second), set1(step.root), set1(AdamStep::kEpsilon));
  const Vec next = sub(load(p), mul(set1(step.rate), div(first, below)));
  store(p, next);
  return next;
}

void adam(float* p, float* m, float* v, const float* g, size_t count, const AdamStep& step) {
  for (size_t i = 0; i < count; i += 16) adam_lanes(p + i, m + i, v + i, g + i, step);
}

inline Vec updated(float* p, float* m, float* v, const float* g, size_t at, const AdamStep* step) {
  return step ? adam_lanes(p + at, m + at, v + at, g + at, *step) : load(p + at);
}

template <class T>
void adam_publish(float* p, float* m, float* v, const float* g, T* fwd, T* bwd, size_t begin, size_t end,
                  const AdamStep* step) {
  for (size_t b = begin; b < end; ++b) {
    alignas(64) T rows[256];
    for (int r = 0; r < 16; r += 2) {
      const size_t at = b * 256 + r * 16;
      const Vec even = updated(p, m, v, g, at, step);
      const Vec odd = updated(p, m, v, g, at + 16, step);
      if constexpr (sizeof(T) == 2) {
        store_row_pair(fwd + at, rows + r * 16, rows + r * 16 + 16, even, odd);
      } else {
        store(rows + r * 16, even);
        store(rows + r * 16 + 16, odd);
      }
    }
    if constexpr (sizeof(T) == 2)
      store_column_pairs(rows, bwd + b * 256, 32);
    else
      transpose(rows, bwd + b * 256, 16);
  }
  finish_stores();
}

template <class T>
void pack(const WeightGrad& w, const T* source, Operand operand, int block, int first, int count) {
  const int positions = w.size * w.size, depth = panel_steps(w.pairs) * kPanelStep;
  const size_t stride = static_cast<size_t>(operand == Operand::kX ? w.in : w.out) * positions;
  for (int p = 0; p < positions; ++p) {
    const T* from = source + first * stride + (static_cast<size_t>(block) * positions + p) * 16;
    auto element = [&](int k) {
      const int n = kValuesPerWord<T> * k;
      if (k >= w.pairs) return zero_bits();
      return load_element(from + n * stride, n + 1 < count ? from + (n + 1) * stride : nullptr);
    };
    if (operand == Operand::kX) {
      uint32_t* to = w.x + (static_cast<size_t>(block) * positions + p) * depth * kPanelRows;
      for (int k = 0; k < depth; ++k) store_bits(to + k * kPanelRows, element(k));
      turn_words(to, depth / kPanelStep);
    } else {
      uint32_t* to =
          w.dy + (static_cast<size_t>(block / 2) * positions + p) * depth * kPanelColumns + (block % 2) * 16;
      for (int k = 0; k < depth; ++k) store_bits(to + k * kPanelColumns, element(k));
    }
  }
}

inline int first_valid(int tap) { return tap == 0 ? 1 : 0; }
inline int end_valid(int tap, int size) { return tap == 2 ? size - 1 : size; }

// One tap of 16 input by 32 output channels: sums over the positions that it joins.
template <class T>
void weight_grad_tile(const PanelUnit<T>& unit, const WeightGrad& w, int j, int i, int kh, int kw) {
  const int positions = w.size * w.size, steps = panel_steps(w.pairs);
  float* low = w.dw + ((static_cast<size_t>(2 * j) * (w.in / 16) + i) * 9 + kh * 3 + kw) * 256;
  float* high = low + static_cast<size_t>(w.in / 16) * 9 * 256;
  alignas(64) float sums[kSums];
  for (int r = 0; r < kPanelRows && w.add; ++r) {
    store(sums + r * kPanelColumns, load(low + r * 16));
    store(sums + r * kPanelColumns + 16, load(high + r * 16));
  }
  const int from = first_valid(kw), length = end_valid(kw, w.size) - from;
  for (int row = first_valid(kh); row < end_valid(kh, w.size); ++row) {
    const size_t x_at = static_cast<size_t>(i) * positions + (row + kh - 1) * w.size + from + kw - 1;
    const size_t d_at = static_cast<size_t>(j) * positions + row * w.size + from;
    unit.multiply(w.x + x_at * steps * kPanelStep * kPanelRows,
                  w.dy + d_at * steps * kPanelStep * kPanelColumns, steps * length, sums,
                  w.add || row > first_valid(kh));
  }
  for (int r = 0; r < kPanelRows; ++r) {
    store(low + r * 16, load(sums + r * kPanelColumns));
    store(high + r * 16, load(sums + r * kPanelColumns + 16));
  }
}

template <class T>
void weight_grad(const WeightGrad& w, int out_block) {
  const PanelUnit<T> unit;
  for (int i = 0; i < w.in / kPanelRows; ++i)
    for (int kh = 0; kh < 3; ++kh)
      for (int kw = 0; kw < 3; ++kw) weight_grad_tile(unit, w, out_block, i, kh, kw);
}

template <class T>
void tiny_conv(const TinyConv<T>& c, int pair, int position) {
  const TinyUnit<T> unit;
  const int blocks = c.from_channels / 16;
  const T* weights = c.weights + static_cast<size_t>(2 * pair) * c.to_stride * 256;
  for (int first = 0; first < c.batch; first += kTinyConvImages) {
    const T* group = c.from + static_cast<size_t>(first) * c.from_channels * 4;
    alignas(64) float sums[kTinyConvImages * 32];
    for (int source = 0; source < 4; ++source) {
      const int down = source / 2 - position / 2, right = source % 2 - position % 2;
      const int tap = c.backward ? (1 - down) * 3 + 1 - right : (1 + down) * 3 + 1 + right;
      const T* x = group + source * blocks * kTinyConvImages * 16;
      unit.multiply(x, weights + tap * 256, c.from_stride * 256, c.to_stride * 256, blocks, sums, source > 0);
    }
    for (int r = 0; r < kTinyConvImages && first + r < c.batch; ++r) {
      T* y = c.to + (static_cast<size_t>(first + r) * c.to_channels + 32 * pair) * 4 + position * 16;
      store(y, load(sums + r * 32));
      store(y + 64, load(sums + r * 32 + 16));
    }
  }
}

template <class T>
void to_f32(const T* from, float* to, size_t count) {
  for (size_t i = 0; i < count; i += 16) store(to + i, load(from + i));
}
template <class T>
void from_f32(const float* from, T* to, size_t count) {
  for (size_t i = 0; i < count; i += 16) store(to + i, load(from + i));
}
