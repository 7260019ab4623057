// Sixteen lanes in plain C++, for processors without AVX-512 and as the twin that tests compare with.
// Included inside an unnamed namespace by one source per instruction set, as simd_avx512.h is.

struct Vec {
  float lane[16];
};
struct Mask {
  bool lane[16];
};
struct Index {
  uint8_t lane[16];
};
struct Bits {
  uint32_t lane[16];
};

template <class F>
inline Vec lanes(F f) {
  Vec r;
  for (int i = 0; i < 16; ++i) r.lane[i] = f(i);
  return r;
}
template <class F>
inline Mask mask_lanes(F f) {
  Mask r;
  for (int i = 0; i < 16; ++i) r.lane[i] = f(i);
  return r;
}

inline float bits_to_float(uint32_t bits) { return __builtin_bit_cast(float, bits); }
inline float widen(Bf16 x) { return bits_to_float(static_cast<uint32_t>(x.bits) << 16); }
// To nearest, ties to even; NaN stays NaN.
inline Bf16 round_bf16(float x) {
  const uint32_t bits = __builtin_bit_cast(uint32_t, x);
  if (x != x) return {static_cast<uint16_t>((bits >> 16) | 0x40)};
  return {static_cast<uint16_t>((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16)};
}

inline Vec set1(float x) {
  return lanes([&](int) { return x; });
}
inline Vec load(const float* p) {
  return lanes([&](int i) { return p[i]; });
}
inline Vec load(const Bf16* p) {
  return lanes([&](int i) { return widen(p[i]); });
}
inline void store(float* p, const Vec& v) {
  for (int i = 0; i < 16; ++i) p[i] = v.lane[i];
}
inline void store(Bf16* p, const Vec& v) {
  for (int i = 0; i < 16; ++i) p[i] = round_bf16(v.lane[i]);
}
inline Vec add(const Vec& a, const Vec& b) {
  return lanes([&](int i) { return a.lane[i] + b.lane[i]; });
}
inline Vec sub(const Vec& a, const Vec& b) {
  return lanes([&](int i) { return a.lane[i] - b.lane[i]; });
}
inline Vec mul(const Vec& a, const Vec& b) {
  return lanes([&](int i) { return a.lane[i] * b.lane[i]; });
}
inline Vec div(const Vec& a, const Vec& b) {
  return lanes([&](int i) { return a.lane[i] / b.lane[i]; });
}
inline Vec root(const Vec& a) {
  return lanes([&](int i) { return __builtin_sqrtf(a.lane[i]); });
}
inline Vec mul_add(const Vec& a, const Vec& b, const Vec& c) {
  return lanes([&](int i) { return a.lane[i] * b.lane[i] + c.lane[i]; });
}
inline Vec max(const Vec& a, const Vec& b) {
  return lanes([&](int i) { return a.lane[i] > b.lane[i] ? a.lane[i] : b.lane[i]; });
}
inline Mask greater(const Vec& a, const Vec& b) {
  return mask_lanes([&](int i) { return a.lane[i] > b.lane[i]; });
}
inline Vec select(const Mask& m, const Vec& yes, const Vec& no) {
  return lanes([&](int i) { return m.lane[i] ? yes.lane[i] : no.lane[i]; });
}

inline Index index_of(uint8_t k) {
  Index r;
  for (int i = 0; i < 16; ++i) r.lane[i] = k;
  return r;
}
inline Index select(const Mask& m, const Index& yes, const Index& no) {
  Index r;
  for (int i = 0; i < 16; ++i) r.lane[i] = m.lane[i] ? yes.lane[i] : no.lane[i];
  return r;
}
inline Index load_index(const uint8_t* p) {
  Index r;
  for (int i = 0; i < 16; ++i) r.lane[i] = p[i];
  return r;
}
inline void store_index(uint8_t* p, const Index& k) {
  for (int i = 0; i < 16; ++i) p[i] = k.lane[i];
}
inline Mask equals(const Index& k, uint8_t value) {
  return mask_lanes([&](int i) { return k.lane[i] == value; });
}

// Sum of 16 lanes to doubles.
inline void add_to(double* sums, const Vec& v) {
  for (int i = 0; i < 16; ++i) sums[i] += v.lane[i];
}

// One packed element per lane; second is null where there is no second image.
inline Bits load_element(const float* first, const float*) {
  Bits r;
  for (int i = 0; i < 16; ++i) r.lane[i] = __builtin_bit_cast(uint32_t, first[i]);
  return r;
}
inline Bits load_element(const Bf16* first, const Bf16* second) {
  Bits r;
  for (int i = 0; i < 16; ++i)
    r.lane[i] = first[i].bits | (second ? static_cast<uint32_t>(second[i].bits) << 16 : 0);
  return r;
}
inline void store_bits(uint32_t* to, const Bits& b) {
  for (int i = 0; i < 16; ++i) to[i] = b.lane[i];
}
inline Bits zero_bits() { return {}; }
// `count` matrices of 16x16, one behind the other, each to its transpose.
inline void turn_words(uint32_t* m, int count) {
  for (int i = 0; i < count; ++i, m += 256)
    for (int r = 0; r < 16; ++r)
      for (int c = 0; c < r; ++c) {
        const uint32_t above = m[c * 16 + r];
        m[c * 16 + r] = m[r * 16 + c];
        m[r * 16 + c] = above;
      }
}
inline Bits load_bits(const uint32_t* p) {
  Bits r;
  for (int i = 0; i < 16; ++i) r.lane[i] = p[i];
  return r;
}
template <class T>
inline Vec dot(const Vec& sum, uint32_t a, const Bits& b) {
  if constexpr (sizeof(T) == 4) {
    return lanes([&](int i) { return sum.lane[i] + bits_to_float(a) * bits_to_float(b.lane[i]); });
  } else {
    return lanes([&](int i) {
      return sum.lane[i] + bits_to_float(a << 16) * bits_to_float(b.lane[i] << 16) +
             bits_to_float(a & 0xFFFF0000U) * bits_to_float(b.lane[i] & 0xFFFF0000U);
    });
  }
}

inline void finish_stores() {}
inline void store_row(float* to, const Vec& v) { store(to, v); }
// 16x16 to its transpose; stride: between its rows.
inline void transpose(const float* from, float* to, size_t stride) {
  for (int r = 0; r < 16; ++r)
    for (int c = 0; c < 16; ++c) to[c * stride + r] = from[r * 16 + c];
}
// rows: 16x16, a row an input channel. fwd: pairs of rows interleaved lane by lane.
inline void store_row_pair(Bf16* to, Bf16* row0, Bf16* row1, const Vec& a, const Vec& b) {
  store(row0, a);
  store(row1, b);
  for (int i = 0; i < 16; ++i) to[2 * i] = row0[i], to[2 * i + 1] = row1[i];
}
// rows: 16x16; to: [8][16 in][2 out], the eight stride apart.
inline void store_column_pairs(const Bf16* rows, Bf16* to, size_t stride) {
  for (int k = 0; k < 8; ++k)
    for (int r = 0; r < 16; ++r) {
      to[k * stride + 2 * r] = rows[r * 16 + 2 * k];
      to[k * stride + 2 * r + 1] = rows[r * 16 + 2 * k + 1];
    }
}
