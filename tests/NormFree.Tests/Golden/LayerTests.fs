module NormFree.Tests.Golden.LayerTests

open Expecto
open NormFree.Torch.Layers
open NormFree.Torch.Training
open NormFree.Tests.Golden
open TorchSharp

let private leaf shape values = (GoldenFiles.tensor shape values).requires_grad_(true)

let private approximateSign =
    test "approximate sign: values and gradient" {
        use _ = torch.NewDisposeScope()
        let entry = (GoldenFiles.get "approx_sign" GoldenFiles.layers.Value).AsObject()
        let x = leaf [| -1L |] (GoldenFiles.floats "x" entry)
        let y = ApproximateSign.Apply x
        y.backward [| GoldenFiles.tensor [| -1L |] (GoldenFiles.floats "grad_out" entry) |]
        Agreement.allClose Closeness.tight y (GoldenFiles.floats "y" entry) "y"
        Agreement.allClose Closeness.tight (Agreement.gradient x) (GoldenFiles.floats "grad_x" entry) "dx"
    }

let private convolution (name: string) =
    test $"{name}: values and gradients" {
        use _ = torch.NewDisposeScope()
        let entry = (GoldenFiles.get name GoldenFiles.layers.Value).AsObject()
        let integer key = GoldenFiles.integer key entry

        let shape =
            [| int64 (integer "out_channels")
               int64 (integer "in_channels")
               int64 (integer "kernel")
               int64 (integer "kernel") |]

        let x = leaf (GoldenFiles.integers "x_shape" entry) (GoldenFiles.floats "x" entry)
        let weight = leaf shape (GoldenFiles.floats "weight" entry)

        let gain: torch.Tensor | null =
            if isNull entry["gain"] then
                null
            else
                leaf [| shape[0]; 1L; 1L; 1L |] (GoldenFiles.floats "gain" entry)

        let options =
            ConvolutionOptions(
                integer "stride",
                integer "padding",
                name.Contains "scaled_std",
                name.StartsWith "binary"
            )

        let y = Convolution.Apply(x, weight, gain, &options)
        Expect.equal y.shape (GoldenFiles.integers "y_shape" entry) "shape of y"
        y.backward [| GoldenFiles.tensor y.shape (GoldenFiles.floats "grad_out" entry) |]
        Agreement.allClose Closeness.tight y (GoldenFiles.floats "y" entry) "y"
        Agreement.allClose Closeness.tight (Agreement.gradient x) (GoldenFiles.floats "grad_x" entry) "dx"
        Agreement.allClose Closeness.tight (Agreement.gradient weight) (GoldenFiles.floats "grad_weight" entry) "dw"

        match gain with
        | null -> ()
        | gain ->
            Agreement.allClose Closeness.tight (Agreement.gradient gain) (GoldenFiles.floats "grad_gain" entry) "dgain"
    }

let private clipping (name: string) =
    test $"{name}: clipped gradient" {
        use _ = torch.NewDisposeScope()
        let entry = (GoldenFiles.get name GoldenFiles.layers.Value).AsObject()
        let shape = name.Substring("agc_".Length).Split 'x' |> Array.map int64
        let parameter = leaf shape (GoldenFiles.floats "param" entry)
        parameter.grad <- GoldenFiles.tensor shape (GoldenFiles.floats "grad" entry)
        AdaptiveGradientClipping.Clip(parameter, GoldenFiles.number "clip" entry) |> ignore
        Agreement.allClose Closeness.tight (Agreement.gradient parameter) (GoldenFiles.floats "clipped" entry) "clipped"
    }

let private loss (name: string) (compute: torch.Tensor -> torch.Tensor -> torch.Tensor -> torch.Tensor) =
    test $"{name}: value and gradient" {
        use _ = torch.NewDisposeScope()
        let entry = (GoldenFiles.get name GoldenFiles.layers.Value).AsObject()
        let student = leaf [| 4L; 10L |] (GoldenFiles.floats "student" entry)
        let teacher = GoldenFiles.tensor [| 4L; 10L |] (GoldenFiles.floats "teacher" entry)
        let value = compute student (torch.tensor (GoldenFiles.integers "labels" entry)) teacher
        value.backward ()
        Closeness.close Closeness.tight 0.0 (value.item<float>()) (GoldenFiles.number "loss" entry) "loss"

        Agreement.allClose
            Closeness.tight
            (Agreement.gradient student)
            (GoldenFiles.floats "grad_student" entry)
            "dlogits"
    }

let tests =
    testList
        "layers"
        [ approximateSign
          for kind in [ "scaled_std_conv"; "binary_conv"; "binary_scaled_std_conv" ] do
              for shape in [ "k3s1"; "k3s2"; "k1s1" ] do
                  convolution $"{kind}_{shape}"
          for shape in [ "4x3x3x3"; "1x6x1x1"; "6"; "3x5" ] do
              clipping $"agc_{shape}"
          loss "loss_cross_entropy" (fun student labels _ -> Losses.CrossEntropy(student, labels))
          loss "loss_label_smoothing_0.1" (fun student labels _ -> Losses.LabelSmoothing(student, labels, 0.1))
          loss "loss_distillation" (fun student _ teacher -> Losses.Distillation(student, teacher)) ]
