declare <8 x float> @llvm.fma.v8f32(<8 x float>, <8 x float>, <8 x float>)

define void @product(ptr noalias %p0, ptr noalias %p1, ptr noalias %p2, i64 %lo, i64 %hi) nounwind "prefer-vector-width"="512" {
entry:
  br label %loop0
loop0:
  ; for m
  %t0 = phi i64 [ 0, %entry ], [ %t26, %after3 ]
  %t1 = phi <8 x float> [ poison, %entry ], [ %t15, %after3 ]
  %t2 = phi <8 x float> [ poison, %entry ], [ %t20, %after3 ]
  %t6 = mul i64 %t0, 100
  %t7 = getelementptr float, ptr %p0, i64 %t6
  %t23 = mul i64 %t0, 16
  %t24 = getelementptr float, ptr %p2, i64 %t23
  br label %loop2
loop2:
  ; for k
  %t3 = phi i64 [ 0, %loop0 ], [ %t21, %loop2 ]
  %t4 = phi <8 x float> [ splat (float 0x0000000000000000), %loop0 ], [ %t15, %loop2 ]
  %t5 = phi <8 x float> [ splat (float 0x0000000000000000), %loop0 ], [ %t20, %loop2 ]
  %t8 = getelementptr float, ptr %t7, i64 %t3
  %t10 = mul i64 %t3, 8
  %t11 = getelementptr float, ptr %p1, i64 %t10
  %t9 = load float, ptr %t8, align 4
  %t12 = load <8 x float>, ptr %t11, align 4
  %t13 = insertelement <8 x float> poison, float %t9, i32 0
  %t14 = shufflevector <8 x float> %t13, <8 x float> poison, <8 x i32> zeroinitializer
  %t15 = call <8 x float> @llvm.fma.v8f32(<8 x float> %t14, <8 x float> %t12, <8 x float> %t4)
  %t16 = getelementptr float, ptr %t8, i64 50
  %t17 = load float, ptr %t16, align 4
  %t18 = insertelement <8 x float> poison, float %t17, i32 0
  %t19 = shufflevector <8 x float> %t18, <8 x float> poison, <8 x i32> zeroinitializer
  %t20 = call <8 x float> @llvm.fma.v8f32(<8 x float> %t19, <8 x float> %t12, <8 x float> %t5)
  %t21 = add nsw i64 %t3, 1
  %t22 = icmp slt i64 %t21, 50
  br i1 %t22, label %loop2, label %after3
after3:
  store <8 x float> %t15, ptr %t24, align 4
  %t25 = getelementptr float, ptr %t24, i64 8
  store <8 x float> %t20, ptr %t25, align 4
  %t26 = add nsw i64 %t0, 1
  %t27 = icmp slt i64 %t26, 4
  br i1 %t27, label %loop0, label %after1
after1:
  ret void
}

define void @product.task(ptr %context, i64 %lo, i64 %hi) nounwind {
  %p0.at = getelementptr ptr, ptr %context, i64 0
  %p0 = load ptr, ptr %p0.at
  %p1.at = getelementptr ptr, ptr %context, i64 1
  %p1 = load ptr, ptr %p1.at
  %p2.at = getelementptr ptr, ptr %context, i64 2
  %p2 = load ptr, ptr %p2.at
  call void @product(ptr %p0, ptr %p1, ptr %p2, i64 %lo, i64 %hi)
  ret void
}
