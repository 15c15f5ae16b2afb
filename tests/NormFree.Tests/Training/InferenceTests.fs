/// Inference benchmarks and their engines.
module NormFree.Tests.Training.InferenceTests

open System
open System.Threading
open Expecto
open NormFree.Data
open NormFree.Spec
open NormFree.Runs
open NormFree.Networks
open NormFree.Training
open NormFree.Benchmarks
open NormFree.Tests
open NormFree.Tests.Data.Support
open NormFree.Tests.Inference
open NormFree.Tests.Interop.Support
open NormFree.Tests.Spec
open NormFree.Tests.Training.Support
open TorchSharp

let private net norm = tiny norm |> Net.withBinarise ActivationsAndWeights

/// N images of noise.
let private noise count side =
    let stream = RandomStream.OfSeed 3UL
    Array.init (count * 3 * side * side) (fun _ -> float32 (stream.Between(-2.0, 2.0)))

/// Runs an engine twice, so that state left by the first run would show.
let private logitsOf (start: unit -> IInference) =
    use inference = start ()
    inference.Run()
    inference.Run()
    inference.Logits

/// The number of images whose logits agree within float32 rounding. The others have a flipped sign.
let internal agreeing classes (expected: float32[]) (found: float32[]) =
    Expect.hasLength found expected.Length "logits"

    Array.zip (Array.chunkBySize classes expected) (Array.chunkBySize classes found)
    |> Array.filter (fun (expected, found) ->
        let scale = expected |> Array.map abs |> Array.max
        Array.forall2 (fun (a: float32) b -> abs (a - b) <= 1e-4f * scale) expected found)
    |> Array.length

let private composite (network: Network) (images: float32[]) side =
    use _ = torch.NewDisposeScope()
    use _ = torch.no_grad ()
    let images = torch.tensor(images).reshape(-1L, 3L, int64 side, int64 side)
    let portable = Network.running Execution.Portable network
    portable.Forward(images, Evaluate).data<float32>().ToArray()

let private engines =
    testList
        "engines"
        [ for layout in [ TorchLayout.Contiguous; TorchLayout.ChannelsLast ] do
              for what, model in [ "layer", Models.tiny; "projection", Models.projected ] do
                  test $"torch, {layout.Name}: every kind of {what} equals plain loops" {
                      let images = noise 6 8
                      let expected = images |> Array.chunkBySize 192 |> Array.collect (ReferencePacked.logits model 8 8)
                      let found = logitsOf (fun () -> new TorchInference(model, layout, images))
                      Expect.isGreaterThanOrEqual (agreeing 3 expected found) 5 "images that agree"
                  }

          for what, whole in [ "layers", Models.tiny; "projections", Models.projected ] do
              test $"folding shifts does not change the network and leaves no shift: {what}" {
                  let folded = ShiftFolding.layers whole

                  for layer in folded do
                      match layer with
                      | :? NormFree.Inference.Model.PackedBinaryLayer as layer ->
                          Expect.all layer.Shift (fun shift -> shift = 0.0f) layer.Key
                      | _ -> ()

                  let model = Models.model 8 folded []
                  let image = noise 1 8
                  let expected = ReferencePacked.logits whole 8 8 image
                  Expect.equal (agreeing 3 expected (ReferencePacked.logits model 8 8 image)) 1 "the image agrees"
              }

          for norm in norms do
              for name, start in [ "torch", InferenceEngines.torch; "packed", InferenceEngines.packed 2 ] do
                  test $"{name}, {Names.norm norm}: the logits of the composite network" {
                      use checkpoint = RandomNetwork.create 4L (net norm) |> asCheckpoint 32
                      let images = noise 5 32
                      let expected = composite checkpoint.Network images 32

                      for layout in start checkpoint images do
                          Expect.isGreaterThanOrEqual (agreeing 10 expected (logitsOf layout)) 4 "images that agree"
                  }

          for net in
              [ VggSmall.vggSmall { Width = 0.0625; Depth = 1.0 } CifarStem
                BinaryDenseNet.table "dense" 16 8 [ 2; 2 ] [ 1.5 ] CifarStem
                XnorResNet.xnorResNet18 { Width = 0.125; Depth = 0.5 } CifarStem
                QuickNet.quickNet { Width = 0.125; Depth = 0.5 } CifarStem ] do
              test $"torch, {net.Name}: the packed engine's logits" {
                  let net =
                      net |> Net.withClasses 10 |> Net.withNorm BatchNorm |> Net.withBinarise ActivationsAndWeights

                  use checkpoint = RandomNetwork.create 4L (RandomSpecs.withoutTies net) |> asCheckpoint 32
                  let images = noise 5 32
                  let packed = logitsOf (InferenceEngines.packed 1 checkpoint images).Head

                  for layout in InferenceEngines.torch checkpoint images do
                      Expect.isGreaterThanOrEqual (agreeing 10 packed (logitsOf layout)) 4 "images that agree"
              }

          test "a random network depends only on its seed, and none of its tensors is constant" {
              use one = RandomNetwork.create 1L (net BatchNorm)
              use again = RandomNetwork.create 1L (net BatchNorm)
              use other = RandomNetwork.create 2L (net BatchNorm)
              sameBits (tensorBits one) (tensorBits again) "the same seed"

              let constant =
                  [ for name, tensor in one.Tensors do
                        if tensor.numel () > 1L && tensor.std().item<float32>() = 0.0f then
                            name ]

              Expect.isEmpty constant "constant tensors"

              for name, tensor in one.Tensors do
                  if name.EndsWith("running_var", StringComparison.Ordinal) then
                      Expect.isGreaterThan (tensor.min().item<float32>()) 0.0f name

              Expect.isNonEmpty (differences (tensorBits one) (tensorBits other)) "another seed"
          } ]

/// An engine that sleeps for some milliseconds.
let private sleeper layout (milliseconds: int) (disposed: ResizeArray<string>) : unit -> IInference =
    fun () ->
        { new IInference with
            member _.Layout = Some layout
            member _.Run() = Thread.Sleep milliseconds
            member _.Logits = [||]
            member _.Dispose() = disposed.Add layout }

let private job =
    { InferenceJob.Default(net (BnFree 0.2)) with
        Engine = InferenceEngine.Torch
        Batch = 2
        Threads = 1
        WarmUp = 1
        Runs = 3
        Seconds = 0.0 }

let private measuring =
    testList
        "measuring"
        [ test "each layout is measured, and the fastest one is reported" {
              let disposed, runs = ResizeArray(), ResizeArray()

              let start (checkpoint: Checkpoint) (images: float32[]) =
                  Expect.hasLength images (2 * 3 * 32 * 32) "images"
                  Expect.equal checkpoint.Network.Spec job.Net "network"
                  [ sleeper "slow" 20 disposed; sleeper "fast" 2 disposed ]

              let result = InferenceBench.measure start { job with Progress = runs.Add }
              Expect.equal result.Layout (Some "fast") "layout"
              Expect.equal (result.Runs, result.WarmUp, result.Batch, result.Threads) (3, 1, 2, 1) "counts"
              Expect.equal (result.Arch, result.Norm) (job.Net.Name, Some "bn-free") "network"
              Expect.isGreaterThanOrEqual result.LatencyMs.Median 2.0 "median"
              Expect.isGreaterThanOrEqual result.LatencyMs.P95 result.LatencyMs.Median "95 %"
              Expect.floatClose Accuracy.low result.ImagesPerSecond (2000.0 / result.LatencyMs.Median) "speed"
              Expect.equal (List.ofSeq disposed) [ "slow"; "fast" ] "disposed"
              Expect.equal (List.ofSeq runs) [ 1; 2; 3; 4; 1; 2; 3; 4 ] "runs are reported"
              Expect.equal (Json.readSnakeCase (Json.writeSnakeCase result)) (Ok result) "round trip through JSON"
          }

          test "runs continue for the given seconds" {
              let result =
                  InferenceBench.measure (fun _ _ -> [ sleeper "" 10 (ResizeArray()) ]) { job with Seconds = 0.2 }

              Expect.isGreaterThan result.Runs 3 "runs"
          }

          test "a measurement is cancelled between two runs" {
              use source = new CancellationTokenSource()

              let cancel number =
                  if number = 2 then
                      source.Cancel()

              Expect.throwsT<OperationCanceledException>
                  (fun () ->
                      { job with Runs = 1000; Progress = cancel; Cancellation = source.Token }
                      |> InferenceBench.measure (fun _ _ -> [ sleeper "" 1 (ResizeArray()) ])
                      |> ignore)
                  "the token"
          }

          test "images that exceed the memory are refused before anything is allocated" {
              let bad = { job with Image = 65536; Batch = 65536 }
              let before = GC.GetTotalAllocatedBytes()
              let text = messageOf<TrainingException, _>(fun () -> InferenceBench.measure (fun _ _ -> []) bad)
              contains [ "65536 images of 65536×65536 need"; "GB of memory"; "fewer or smaller images" ] text
              Expect.isLessThan (GC.GetTotalAllocatedBytes() - before) 100_000_000L "bytes"
          }

          test "an invalid job is rejected with all its problems" {
              let bad = { job with Image = 2; Batch = 0; Threads = 0; Runs = 0; WarmUp = -1; Seconds = nan }
              let text = messageOf<TrainingException, _>(fun () -> InferenceBench.measure (fun _ _ -> []) bad)

              contains
                  [ "2×2"
                    "the number of images must be at least 1, it is 0"
                    "threads"
                    "runs to measure"
                    "warm up"
                    "NaN" ]
                  text
          }

          test "real weights are rejected" {
              let real = { job with Net = Net.withBinarise Activations job.Net }
              let text = messageOf<TrainingException, _>(fun () -> InferenceBench.measure (fun _ _ -> []) real)
              contains [ "binary activations and weights" ] text
          } ]

let private kernels =
    testList
        "kernels"
        [ test "a layer is measured with every instruction set, against the machine's roofline" {
              let layers = KernelLayers.all |> List.filter _.Name.Contains("4²") |> List.truncate 1
              let reported = ResizeArray()

              let results =
                  KernelBench.measure
                      { Layers = layers; Seconds = 0.0; Progress = reported.Add; Cancellation = CancellationToken.None }

              let sets = [ for set in NormFree.Kernels.Simd.InstructionSets.Supported -> string set ]
              Expect.equal (results.Rooflines |> List.map _.InstructionSet) sets "rooflines"
              let layer = results.Layers.Head
              Expect.equal (layer.Speeds |> List.map _.InstructionSet) sets "speeds"
              Expect.equal (List.ofSeq reported) [ 1 ] "layers are reported"

              for speed in layer.Speeds do
                  Expect.isGreaterThan speed.GmacsPerSecond.Min 0.0 "speed"
                  let share = speed.GmacsPerSecond.Median / speed.RoofGmacsPerSecond
                  Expect.floatClose Accuracy.low speed.ShareOfRoofline share "share"

              for roofline in results.Rooflines do
                  Expect.isGreaterThan roofline.MemoryGbPerSecond 0.0 "memory"
          }

          test "layers have unique names and the networks' shapes" {
              let names = KernelLayers.all |> List.map (fun layer -> layer.Network, layer.Name)
              Expect.equal (List.distinct names) names "names"
              let goal = KernelLayers.all.Head

              Expect.equal
                  (goal.Name, goal.Shape.Macs)
                  ("3×3 256→256 @ 14²", 14L * 14L * 9L * 256L * 256L)
                  "reference layer"
          } ]

/// Sequenced: benchmarks set torch's number of threads for the whole process.
let tests = testList "inference" [ engines; testSequenced <| testList "bench" [ measuring; kernels ] ]
