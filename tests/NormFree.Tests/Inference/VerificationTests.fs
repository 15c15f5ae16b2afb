/// Verification finds errors in packed networks.
module NormFree.Tests.Inference.VerificationTests

open System
open System.Collections.Generic
open System.IO
open Expecto
open NormFree.Formats.Safetensors
open NormFree.Inference
open NormFree.Inference.Files
open NormFree.Spec
open NormFree.Inference.Model
open NormFree.Runs
open NormFree.Networks
open NormFree.Packing
open NormFree.Training
open NormFree.Tests
open NormFree.Tests.Interop
open NormFree.Tests.Training
open TorchSharp

let private single = torch.ScalarType.Float32

let private network norm = Networks.trained single 4L (Support.tiny norm |> Net.withBinarise ActivationsAndWeights)

let private checkpoint norm = Support.asCheckpoint 32 (network norm)

let private verify (checkpoint: Checkpoint) model =
    use images = Networks.noise single 5L 1 32
    Verification.run checkpoint model (Networks.reference model) images

/// The model with a change to the binary layer of a key.
let private changed key (change: PackedBinaryLayer -> PackedBinaryLayer) (model: PackedModel) =
    PackedModel(
        Architecture = model.Architecture,
        Height = model.Height,
        Width = model.Width,
        Mean = model.Mean,
        Deviation = model.Deviation,
        Classes = model.Classes,
        Layers =
            [| for layer in model.Layers do
                   match layer with
                   | :? PackedBinaryLayer as layer when layer.Key = key -> change layer
                   | layer -> layer |]
    )

/// The model with another image size, mean or classes.
let private described height width mean classes (model: PackedModel) =
    PackedModel(
        Architecture = model.Architecture,
        Height = height,
        Width = width,
        Mean = mean model.Mean,
        Deviation = model.Deviation,
        Classes = classes model.Classes,
        Layers = model.Layers
    )

/// The same layer with other numbers.
let private withNumbers threshold signs scale (l: PackedBinaryLayer) =
    PackedBinaryLayer(
        l.Key,
        l.In,
        l.Out,
        l.Kernel,
        l.Stride,
        l.Padding,
        threshold l.Threshold,
        signs l.Signs,
        scale l.Scale,
        l.Bias,
        l.Slope,
        l.Shift,
        l.Shortcut
    )

let private at place change values =
    let values = Array.copy values
    values[place] <- change values[place]
    values

let private key = "layer2.1.binary_conv"

/// A record of numbers, as in results.
type Numbers = { Top: float; Rest: float list }

/// Damage to one layer, and what must be reported for it. Other layers are not reported, although their inputs in a run of the whole network differ.
let private damages =
    [ "a threshold", withNumbers (at 2 (fun t -> t + 0.5f)) id id, $"layer {key}: ", "signs of its input differ"
      "a threshold by 1 ulp", withNumbers (at 2 MathF.BitIncrement) id id, $"layer {key}: ", "1 thresholds differ"
      "a binary weight", withNumbers id (at 3 (fun word -> word ^^^ 1UL)) id, $"layer {key}: ", "binary weights differ"
      "a scale", withNumbers id id (at 1 (fun s -> 1.01f * s)), $"layer {key}: ", "its output differs"
      "a scale of NaN", withNumbers id id (at 1 (fun _ -> nanf)), $"layer {key}: ", "its output differs by NaN" ]

let private found =
    [ for what, change, first, second in damages do
          test $"{what} that is not the network's is found in its layer only" {
              use checkpoint = checkpoint (BnFree 0.2)
              let model = (Packing.ofCheckpoint checkpoint).Model |> changed key change
              let mismatches = (verify checkpoint model).Mismatches
              Expect.isNonEmpty mismatches "mismatches"
              Expect.exists mismatches (fun m -> m.StartsWith first && m.Contains second) $"{mismatches}"

              for mismatch in mismatches do
                  Expect.isTrue
                      (mismatch.StartsWith first || mismatch.StartsWith "the packed network's logits")
                      mismatch
          }

      test "NaN is null in JSON, and null is NaN" {
          let text = Json.writeSnakeCase { Top = nan; Rest = [ 1.5; infinity ] }
          Expect.equal text """{"top":null,"rest":[1.5,null]}""" "text"

          match Json.readSnakeCase<Numbers> text with
          | Ok numbers -> Expect.isTrue (Double.IsNaN numbers.Top && Double.IsNaN numbers.Rest[1]) $"{numbers}"
          | Error why -> failtest why
      }

      test "a wrong whole is found although its layers agree" {
          use checkpoint = checkpoint (BnFree 0.2)
          let model = (Packing.ofCheckpoint checkpoint).Model
          let runner = Networks.reference model

          let wrong =
              { runner with
                  Run = fun x height width -> runner.Run x height width |> Array.map (fun v -> 1.1f * v) }

          use images = Networks.noise single 5L 1 32
          let mismatches = (Verification.run checkpoint model wrong images).Mismatches
          Expect.hasLength mismatches 1 "mismatches"
          Expect.stringContains mismatches[0] "differ from those of its layers" "message"
      }

      for what, other, message in
          [ "another norm", Support.tiny NoNorm, None
            "another architecture",
            ReActNet.reactNetA { Width = 0.25; Depth = 0.5 } CifarStem,
            Some "it is a reactnet-a"
            "another width", ReActNet.reactNetSmall { Width = 0.67; Depth = 1.0 } CifarStem, Some "another shape"
            "another depth", ReActNet.reactNetSmall { Width = 0.34; Depth = 0.5 } CifarStem, Some "layers, not" ] do
          test $"a packed network of {what} is found" {
              use checkpoint = checkpoint (BnFree 0.2)
              let spec = other |> Net.withClasses 10 |> Net.withBinarise ActivationsAndWeights
              use network = Networks.trained single 6L spec
              let model = (Packing.ofCheckpoint (Support.asCheckpoint 32 network)).Model

              match message with
              | None -> Expect.isNonEmpty (verify checkpoint model).Mismatches "mismatches"
              | Some part ->
                  let found = messageOf<TrainingException, _>(fun () -> verify checkpoint model)
                  Expect.stringContains found "was made from another one" "message"
                  Expect.stringContains found part "message"
          } ]

/// Differences outside the layers.
let private descriptions =
    let itself (values: IReadOnlyList<'a>) = values

    [ for what, change, message in
          [ "height", described 64 32 itself itself, "its images are 64×32, not 32×32"
            "width", described 32 64 itself itself, "its images are 32×64, not 32×32"
            "mean", described 32 32 (Seq.map ((+) 0.1f) >> Seq.toArray >> itself) itself, "normalised differently"
            "class", described 32 32 itself (Seq.rev >> Seq.toArray >> itself), "its classes have other names" ] do
          test $"another {what} is found" {
              use checkpoint = checkpoint (BnFree 0.2)
              let model = (Packing.ofCheckpoint checkpoint).Model |> change
              let found = messageOf<TrainingException, _>(fun () -> verify checkpoint model)
              Expect.stringContains found message "message"
          } ]

let private engine =
    [ for norm in Support.norms do
          for weights in [ WeightBinariser.ZeroMean; WeightBinariser.Real ] do
              test
                  $"the engine's layers are the composite network's: {Names.norm norm}, {Names.weights weights} shortcuts" {
                  let net =
                      Support.tiny norm |> Net.withBinarise ActivationsAndWeights |> Net.withShortcutWeights weights

                  use checkpoint = Support.asCheckpoint 32 (Networks.trained single 4L net)
                  use packed = PackedNetwork.From((Packing.ofCheckpoint checkpoint).Model)
                  use images = Networks.noise single 7L 2 32
                  let report = Verification.run checkpoint packed.Model (PackedRunner.ofNetwork packed) images
                  Expect.isEmpty report.Mismatches "mismatches"
              }

          test $"the engine's layers are the composite network's: {Names.norm norm}" {
              use checkpoint = checkpoint norm
              use packed = PackedNetwork.From((Packing.ofCheckpoint checkpoint).Model)
              use images = Networks.noise single 7L 2 32
              let report = Verification.run checkpoint packed.Model (PackedRunner.ofNetwork packed) images
              Expect.isEmpty report.Mismatches "mismatches"
          } ]

/// The full networks, on an image of this size.
let private full =
    [ for name, net, size in [ "ReActNet-18 for CIFAR", ReActNet.cifar18, 32; "ReActNet-A", ReActNet.a, 64 ] do
          for norm in [ BnFree 0.2; BatchNorm ] do
              test $"the engine's layers are the composite network's: {name}, {Names.norm norm}" {
                  let net = net |> Net.withNorm norm |> Net.withBinarise ActivationsAndWeights
                  use checkpoint = Support.asCheckpoint size (Networks.trained single 8L net)
                  use packed = PackedNetwork.From((Packing.ofCheckpoint checkpoint).Model)
                  use image = Verification.noise checkpoint 1
                  let report = Verification.run checkpoint packed.Model (PackedRunner.ofNetwork packed) image
                  Expect.isEmpty report.Mismatches "mismatches"
              } ]

/// File sizes of the full networks against their prediction.
let private sizes =
    [ for name, net, size, predicted in
          [ "ReActNet-18 for CIFAR", ReActNet.cifar18, 32, 1.45
            "ReActNet-18 with zero-mean shortcuts",
            Net.withShortcutWeights WeightBinariser.ZeroMean ReActNet.cifar18,
            32,
            1.45
            "ReActNet-18 with real shortcuts", Net.withShortcutWeights WeightBinariser.Real ReActNet.cifar18, 32, 2.08
            "ReActNet-A", ReActNet.a, 224, 7.5 ] do
          for norm in Support.norms do
              test $"the file of {name}, {Names.norm norm}, has the size that its summary predicts" {
                  let net = net |> Net.withNorm norm |> Net.withBinarise ActivationsAndWeights
                  use network = Network.create single Rule.Corrected 1L net
                  let model = (Packing.ofCheckpoint (Support.asCheckpoint size network)).Model
                  use stream = new MemoryStream()
                  PackedFile.Write(stream, model)
                  let bytes = float stream.Length

                  match Summary.create size size net with
                  | Error errors -> failtest $"{errors}"
                  | Ok summary ->
                      let expected = float summary.Total.PackedBytes

                      Expect.isLessThan
                          (abs (bytes / expected - 1.0))
                          0.015 // names, and the spec as JSON
                          $"{bytes} bytes where {expected} are predicted"

                      Expect.isLessThan
                          (abs (bytes / 1048576.0 / predicted - 1.0))
                          0.015 // names, and the spec as JSON
                          $"{bytes} bytes for {predicted} MiB"

                      // The tensors alone match exactly.
                      use file = SafetensorsFile.Read(new MemoryStream(stream.ToArray()), "file")

                      let tensors =
                          file.Tensors
                          |> Seq.filter (fun entry -> not (entry.Name.StartsWith("padding.", StringComparison.Ordinal)))
                          |> Seq.sumBy _.Bytes

                      Expect.equal tensors summary.Total.PackedBytes "tensors"
              } ]

let tests =
    testList
        "verification"
        [ testList "mismatches" (found @ descriptions)
          testList "engine" (engine @ full)
          testList "sizes" sizes ]
