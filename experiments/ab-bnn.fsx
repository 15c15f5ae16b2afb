// Trains ReActNet-18 on CIFAR-10 with the recipe of A&B BNN (CVPR 2024), another binary network without batch norm, and with NormFree's:
//   dotnet fsi experiments/ab-bnn.fsx DATA --width 0.25 --epochs 4 --seeds 3 --lr 2e-3
// DATA: a download of `normfree data get cifar10`, or an archive of train/<class>/*.jpg and test/<class>/*.jpg.
#load "prelude.fsx"

open NormFree.Data
open NormFree.Experiments

Script.run fsi.CommandLineArgs Budget.cifar (fun script ->
    let question =
        "How does NormFree's recipe compare with that of A&B BNN, which has no batch norm either, at an equal budget?"

    Norms.compareRival
        script
        Cifar10
        { Script.page script "NormFree and A&B BNN" question with
            Notes =
                [ "A&B BNN (Ma et al., CVPR 2024): the gradient of 2σ(3x) − 1, AGC with λ = 0.001 for everything but the classifier, α = 0.25, slopes that \
                   are powers of two, a linear schedule at 1e-3, weight decay 5e-6 in stage 1, and the rules of the published code. Both recipes pad images \
                   with black; theirs mirrors them."
                  "1-bit shortcuts of bn-free networks are zero-mean: deviation 16 of [docs/method.md](../../docs/method.md)." ] })
