	.file	"<string>"
	.text
	.globl	product
	.p2align	2
	.type	product,@function
product:
	mov	x8, xzr
.LBB0_1:
	movi	v0.2d, #0000000000000000
	movi	v2.2d, #0000000000000000
	add	x9, x2, x8, lsl #6
	movi	v3.2d, #0000000000000000
	movi	v1.2d, #0000000000000000
	mov	x10, xzr
.LBB0_2:
	add	x12, x1, x10, lsl #5
	add	x11, x0, x10, lsl #2
	add	x10, x10, #1
	cmp	x10, #50
	ldp	q5, q6, [x12]
	ldr	s4, [x11]
	ldr	s7, [x11, #200]
	fmla	v3.4s, v6.4s, v4.s[0]
	fmla	v2.4s, v5.4s, v4.s[0]
	fmla	v0.4s, v6.4s, v7.s[0]
	fmla	v1.4s, v5.4s, v7.s[0]
	b.lt	.LBB0_2
	add	x8, x8, #1
	add	x0, x0, #400
	stp	q2, q3, [x9]
	cmp	x8, #4
	stp	q1, q0, [x9, #32]
	b.lt	.LBB0_1
	ret
.Lfunc_end0:
	.size	product, .Lfunc_end0-product

	.globl	product.task
	.p2align	2
	.type	product.task,@function
product.task:
	str	x30, [sp, #-16]!
	ldp	x8, x9, [x0]
	mov	x4, x2
	ldr	x2, [x0, #16]
	mov	x3, x1
	mov	x0, x8
	mov	x1, x9
	bl	product
	ldr	x30, [sp], #16
	ret
.Lfunc_end1:
	.size	product.task, .Lfunc_end1-product.task

	.section	".note.GNU-stack","",@progbits
