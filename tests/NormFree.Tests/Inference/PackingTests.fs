/// Packed networks agree with the composite network, layer by layer.
module NormFree.Tests.Inference.PackingTests

open System
open Expecto
open NormFree.Data
open NormFree.Spec
open NormFree.Inference.Files
open NormFree.Inference.Model
open NormFree.Runs
open NormFree.Networks
open NormFree.Packing
open NormFree.Training
open NormFree.Tests
open NormFree.Tests.Data.Support
open NormFree.Tests.Interop
open NormFree.Tests.Training
open TorchSharp

let private single, double = torch.ScalarType.Float32, torch.ScalarType.Float64

let private pack size (network: Network) = Packing.ofCheckpoint (Support.asCheckpoint size network)

let private agreement =
    [ for dtype in [ single; double ] do
          for title, size, net in Networks.specs do
              test $"{dtype}: {title}" {
                  use network = Networks.trained dtype 1L net |> Network.running Execution.Portable
                  use images = Networks.noise dtype 1L (if size < 64 then 2 else 1) size
                  let model = (pack size network).Model

                  let report =
                      Verification.run (Support.asCheckpoint size network) model (Networks.reference model) images

                  Expect.isEmpty report.Mismatches "mismatches"
                  Expect.equal report.Images (int (images.size 0)) "images"
                  Expect.isGreaterThan (report.Layers |> List.sumBy _.Signs) 0L "signs"
                  Expect.equal (report.Layers |> List.sumBy _.Zeros) 0L "zeros"

                  // Without sign flips, the logits are those of the composite network.
                  use _ = torch.no_grad ()
                  use logits = network.Forward(images, Evaluate)
                  let largest = logits.abs().max().``to``(double).item<float>()
                  Expect.isLessThan (abs (report.LargestLogit - largest)) (1e-6 * largest) "the network's own logits"

                  if report.Layers |> List.forall (fun layer -> layer.Flips = 0L) then
                      Expect.isLessThan report.LogitDifference (1e-5 * largest) "logits"
              } ]

/// The number itself and the next two floats on each side.
let private neighbours (x: float32) =
    [ x
      MathF.BitIncrement x
      MathF.BitDecrement x
      MathF.BitIncrement(MathF.BitIncrement x)
      MathF.BitDecrement(MathF.BitDecrement x) ]

/// Floats of every size: any bits but NaN's and infinity's.
let private anyFloat (stream: RandomStream) =
    Seq.initInfinite (fun _ -> BitConverter.UInt32BitsToSingle(uint32 (stream.Bits() >>> 32)))
    |> Seq.find Single.IsFinite

let private shifts =
    [ 0.0f
      -0.0f
      Single.Epsilon
      -Single.Epsilon
      Single.MaxValue
      Single.MinValue
      1e-40f
      -1e-40f
      MathF.BitIncrement 1.0f
      -1.0f ]

let private betas = [ 1.0; 1.0 / sqrt 1.04; 1.0 / sqrt 1.12; 0.5; 1e-3; 1e-30; 1e-45; 3.0 ]

/// Comparing with the threshold agrees with the direct computation for the threshold's neighbours and other numbers.
let private requireExact (holds: float32 -> bool) threshold (others: float32 list) what =
    for x in neighbours threshold @ others do
        if not (Single.IsNaN x) then
            Expect.equal (x >= threshold) (holds x) $"{what}: x = {x:R} at the threshold {threshold:R}"

let private thresholds =
    [ for beta in betas do
          test $"float32, β = {beta}: a comparison is product, sum and sign" {
              let stream = RandomStream.OfKeys(54L, int64 (1e6 * beta))
              let factor = float32 beta

              for shift in
                  shifts @ [ for _ in 1..300 -> anyFloat stream ] @ [ for _ in 1..300 -> float32 (stream.Normal()) ] do
                  let others =
                      -shift / factor
                      :: -shift
                      :: 0.0f
                      :: infinityf
                      :: -infinityf
                      :: [ for _ in 1..5 -> anyFloat stream ]

                  let holds (x: float32) = factor * x + shift >= 0.0f
                  requireExact holds (Threshold.single beta shift) others $"b = {shift:R}"
          }

          test $"float64, β = {beta}: a comparison is product, sum and sign" {
              let stream = RandomStream.OfKeys(55L, int64 (1e6 * beta))

              for shift in [ 0.0; -1e-300; 1e-300; 1e300; -1e300 ] @ [ for _ in 1..300 -> stream.Normal() ] do
                  let others = [ float32 -shift; 0.0f; infinityf; -infinityf; float32 (stream.Normal()) ]

                  requireExact
                      (fun x -> beta * float x + shift >= 0.0)
                      (Threshold.double beta shift)
                      others
                      $"b = {shift:R}"
          }

      test "a β that float32 makes 0 leaves the sign to b" {
          Expect.equal (Threshold.single 1e-50 1.0f) Single.MinValue "always +"
          Expect.equal (Threshold.single 1e-50 -1.0f) infinityf "never +"
      } ]

let private tensor key (network: Network) = network.Tensors |> List.find (fun (name, _) -> name = key) |> snd

/// A network with a change to one tensor.
let private changed norm key (change: torch.Tensor -> unit) =
    let network = Networks.trained single 2L (Support.tiny norm |> Net.withBinarise ActivationsAndWeights)
    use _ = torch.no_grad ()
    change (tensor key network)
    network

let private set (place: int) (value: float32) (tensor: torch.Tensor) =
    tensor.view(-1L).narrow(0L, int64 place, 1L).copy_(torch.tensor [| value |]) |> ignore

let private refusals =
    [ for norm, key, value, message in
          [ BnFree 0.2, "conv1.weight", nanf, "tensor conv1.weight: value 3 is NaN"
            BnFree 0.2, "layer1.0.move0.bias", infinityf, "tensor layer1.0.move0.bias: value 3 is Infinity"
            BnFree 0.2,
            "layer1.0.binary_conv.gain",
            -infinityf,
            "tensor layer1.0.binary_conv.gain: value 3 is -Infinity"
            BatchNorm, "layer1.0.bn1.running_mean", nanf, "tensor layer1.0.bn1.running_mean: value 3 is NaN"
            BatchNorm, "layer1.0.bn1.running_var", -1.0f, "tensor layer1.0.bn1.running_var: a variance is negative"
            BatchNorm, "layer1.0.bn1.weight", 3e38f, "layer 'layer1.0.binary_conv': value 3 of its" ] do
          test $"rejected: {value} in {key}" {
              use network = changed norm key (set 3 value)

              if key.EndsWith "bn1.weight" then
                  use _ = torch.no_grad ()
                  network |> tensor "layer1.0.bn1.running_var" |> set 3 0.0f

              let found = messageOf<TrainingException, _>(fun () -> pack 32 network)
              Expect.stringContains found message "message"
          }

      for net, message in
          [ Support.tiny (BnFree 0.2) |> Net.withBinarise Activations, "has real weights, as after stage 1"
            ResNet.resNet18 { Width = 0.1; Depth = 0.5 } CifarStem |> Net.withClasses 10, "full-precision network" ] do
          test $"rejected: {net.Name} whose weights are not binary" {
              use network = Network.create single Rule.Corrected 1L net
              Expect.stringContains (messageOf<TrainingException, _>(fun () -> pack 32 network)) message "message"
          } ]

let private binary key (model: PackedModel) =
    model.Layers
    |> Seq.pick (fun layer ->
        match layer with
        | :? PackedBinaryLayer as layer when layer.Key = key -> Some layer
        | _ -> None)

let private zeros =
    [ test "weights of exactly 0 are counted, become +1, and are no mismatch" {
          use network = changed NoNorm "layer2.0.binary_conv.weight" (fun weight -> weight.zero_ () |> ignore)
          use _ = torch.no_grad ()
          // Not all weights of a filter, as its scale would be 0.
          network |> tensor "layer1.0.binary_conv.weight" |> set 5 0.0f
          network |> tensor "layer1.0.binary_conv.weight" |> set 6 -0.0f
          network |> tensor "layer2.0.downsample.1.weight" |> set 5 0.0f
          let packed = pack 32 network
          let expected = 3L + (tensor "layer2.0.binary_conv.weight" network).numel()
          Expect.equal packed.ZeroWeights expected "counted"
          let layer = binary "layer1.0.binary_conv" packed.Model
          // Weights 5 and 6 of a filter of 8 channels × 3×3 taps belong to channel 0.
          Expect.equal ((layer.Signs[5] &&& 1UL, layer.Signs[6] &&& 1UL)) ((1UL, 1UL)) "their bits"
          use images = Networks.noise single 3L 1 32

          let report =
              Verification.run
                  (Support.asCheckpoint 32 (Network.running Execution.Portable network))
                  packed.Model
                  (Networks.reference packed.Model)
                  images

          Expect.isEmpty report.Mismatches "mismatches"
          Expect.equal report.ZeroWeights expected "reported"
      }

      test "values of exactly 0 before a sign are counted and no mismatch" {
          use network = changed NoNorm "conv1.weight" (fun weight -> weight.zero_ () |> ignore)
          use _ = torch.no_grad ()
          (tensor "layer1.0.move0.bias" network).zero_() |> ignore
          let model = (pack 32 network).Model
          use images = Networks.noise single 3L 1 32

          let report = Verification.run (Support.asCheckpoint 32 network) model (Networks.reference model) images

          Expect.isEmpty report.Mismatches "mismatches"
          let first = report.Layers |> List.find (fun layer -> layer.Signs > 0L)
          Expect.equal first.Zeros first.Signs "all of the first layer"
      } ]

/// The task of a packed file with a model.
let private taskOf (model: PackedModel) =
    use folder = new TempFolder()
    let path = folder.File "packed.safetensors"
    PackedFile.Write(path, model)
    use network = LoadedNetwork.load None path
    network.ImageTask

let private images =
    [ test "a packed file has the preprocessing of its checkpoint" {
          use network = Networks.trained single 3L (Support.tiny NoNorm |> Net.withBinarise ActivationsAndWeights)

          let checkpoint = Support.asCheckpoint 32 network

          for steps in
              [ []
                (Augmentation.imageNet LightingMode.Published 32).Test
                [ Resize 32 ]
                [ CentreCrop 32 ]
                [ CentreCrop 28; Resize 32 ] ] do
              let task = { checkpoint.ImageTask with Preprocessing = steps }
              Expect.equal (taskOf (Packing.pack task "" network).Model) task $"%A{steps}"
      }

      test "preprocessing that a packed file cannot represent is rejected" {
          use network = Networks.trained single 3L (Support.tiny NoNorm |> Net.withBinarise ActivationsAndWeights)

          let task = (Support.asCheckpoint 32 network).ImageTask

          for steps, message in
              [ [ PadCrop 4 ], "preprocessed by {\"PadCrop\":4}, which packed files do not support"
                [ ResizeShort 32 ], "its preprocessing does not end with a resize or a crop to 32×32 pixels" ] do
              let pack () = Packing.pack { task with Preprocessing = steps } "" network
              Expect.stringContains (messageOf<TrainingException, _> pack) message "message"
      }

      test "networks that the tool cannot run are rejected, with NormFree.Inference as the remedy" {
          let tiny = Models.tiny

          let other height width (steps: PreprocessingStep list) =
              PackedModel(
                  Architecture = tiny.Architecture,
                  Height = height,
                  Width = width,
                  Mean = tiny.Mean,
                  Deviation = tiny.Deviation,
                  Preprocessing = List.toArray steps,
                  Classes = tiny.Classes,
                  Layers = tiny.Layers
              )

          let skewed =
              [ PreprocessingStep(PreprocessingKind.Cover, 8, 16)
                PreprocessingStep(PreprocessingKind.CentreCrop, 8, 8) ]

          for model, message in
              [ Models.documented, "it takes images of 1 channel, not red, green and blue"
                other 16 8 [], "its images are 16×8, not square"
                other 8 8 skewed, "shapes that are not square" ] do
              let found = Support.refusal (fun () -> taskOf model)
              Expect.stringContains found message "message"
              Expect.stringContains found "NormFree.Inference" "remedy"
      } ]

let tests =
    testList
        "packing"
        [ testList "layer by layer" agreement
          testList "thresholds" thresholds
          testList "refusals" refusals
          testList "images" images
          testList "sign(0)" zeros ]
