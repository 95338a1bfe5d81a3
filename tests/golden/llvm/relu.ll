declare <16 x float> @llvm.arithmetic.fence.v16f32(<16 x float>)
declare <16 x float> @llvm.masked.load.v16f32.p0(ptr, i32, <16 x i1>, <16 x float>)
declare i64 @llvm.smax.i64(i64, i64)
declare i64 @llvm.smin.i64(i64, i64)
declare void @llvm.masked.store.v16f32.p0(<16 x float>, ptr, i32, <16 x i1>)

define void @relu(ptr noalias %p0, ptr noalias %p1, i64 %lo, i64 %hi) nounwind "prefer-vector-width"="512" {
entry:
  %t0 = icmp slt i64 %lo, %hi
  br i1 %t0, label %loop0, label %after1
loop0:
  ; for i.o
  %t1 = phi i64 [ %lo, %entry ], [ %t17, %loop0 ]
  %t2 = mul i64 %t1, -16
  %t3 = add i64 %t2, 37
  %t4 = call i64 @llvm.smax.i64(i64 %t3, i64 0)
  %t5 = call i64 @llvm.smin.i64(i64 %t4, i64 16)
  %t6 = trunc i64 %t5 to i32
  %t7 = insertelement <16 x i32> poison, i32 %t6, i32 0
  %t8 = shufflevector <16 x i32> %t7, <16 x i32> poison, <16 x i32> zeroinitializer
  %t9 = icmp slt <16 x i32> <i32 0, i32 1, i32 2, i32 3, i32 4, i32 5, i32 6, i32 7, i32 8, i32 9, i32 10, i32 11, i32 12, i32 13, i32 14, i32 15>, %t8
  %t10 = mul i64 %t1, 16
  %t11 = getelementptr float, ptr %p0, i64 %t10
  %t16 = getelementptr float, ptr %p1, i64 %t10
  %t12 = call <16 x float> @llvm.masked.load.v16f32.p0(ptr %t11, i32 4, <16 x i1> %t9, <16 x float> zeroinitializer)
  %t13 = call <16 x float> @llvm.arithmetic.fence.v16f32(<16 x float> %t12)
  %t14 = fcmp ogt <16 x float> splat (float 0x0000000000000000), %t13
  %t15 = select <16 x i1> %t14, <16 x float> splat (float 0x0000000000000000), <16 x float> %t13
  call void @llvm.masked.store.v16f32.p0(<16 x float> %t15, ptr %t16, i32 4, <16 x i1> %t9)
  %t17 = add nsw i64 %t1, 1
  %t18 = icmp slt i64 %t17, %hi
  br i1 %t18, label %loop0, label %after1
after1:
  ret void
}

define void @relu.task(ptr %context, i64 %lo, i64 %hi) nounwind {
  %p0.at = getelementptr ptr, ptr %context, i64 0
  %p0 = load ptr, ptr %p0.at
  %p1.at = getelementptr ptr, ptr %context, i64 1
  %p1 = load ptr, ptr %p1.at
  call void @relu(ptr %p0, ptr %p1, i64 %lo, i64 %hi)
  ret void
}
