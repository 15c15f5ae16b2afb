/// Parallel predictions have the same bits as sequential ones; cancelled work leaves no thread and no temporary file.
module NormFree.Tests.Training.ConcurrencyTests

open System
open System.Diagnostics
open System.IO
open System.Threading
open Expecto
open NormFree.Data
open NormFree.Formats.Safetensors
open NormFree.Inference
open NormFree.Inference.Files
open NormFree.Spec
open NormFree.Runs
open NormFree.Networks
open NormFree.Packing
open NormFree.Training
open NormFree.Benchmarks
open NormFree.Tests.Data.Support
open NormFree.Tests.Inference
open NormFree.Tests.Interop.Support
open NormFree.Tests.Training.Support
open TorchSharp

/// A network as a checkpoint and as a packed file.
let private saved norm (folder: TempFolder) =
    let net = tiny norm |> Net.withBinarise ActivationsAndWeights
    use checkpoint = RandomNetwork.create 4L net |> asCheckpoint 32
    let trained, packed = folder.File "trained.safetensors", folder.File "packed.safetensors"
    Checkpoint.save trained None checkpoint
    PackedFile.Write(packed, (Packing.ofCheckpoint checkpoint).Model)
    trained, packed

/// Eight pictures of several sizes.
let private pictures (folder: TempFolder) =
    [| for i in 0..7 -> folder.Write($"{i}.png", png (noise (RandomStream.OfKeys(int64 i)) (20 + 7 * i) (50 - 3 * i))) |]

let private bits (answer: struct (string * float)[]) =
    [ for struct (name, probability) in answer -> name, BitConverter.DoubleToInt64Bits probability ]

let private fromManyThreads norm choose =
    use folder = new TempFolder()
    let pictures = pictures folder
    use predictor: Predictor = choose (saved norm folder)
    let classify index = bits (predictor.Classify(pictures[index], 10))
    let values = Array.init (2 * 3 * 32 * 32) (fun i -> sin (float32 i))
    let expected, logits = Array.init pictures.Length classify, predictor.Logits values

    inParallel 16 (fun caller ->
        for round in 0..3 do
            let index = (caller + round) % pictures.Length
            Expect.equal (classify index) expected[index] $"caller {caller}, picture {index}"
            Expect.sequenceEqual (predictor.Logits values) logits $"caller {caller}: logits")

let private predicting =
    [ for norm in norms do
          for name, choose in
              [ "the fused engine", (fun (trained: string, _) -> Predictor.Load trained)
                "the composite engine", (fun (trained, _) -> Predictor.Load(trained, Trained Execution.Portable))
                "a checkpoint that is packed", (fun (trained, _) -> Predictor.Load(trained, PackedEngine))
                "a packed file", (fun (_, packed: string) -> Predictor.Load packed) ] do
              test $"{name}, {Names.norm norm}: 16 threads get the same bits as one" { fromManyThreads norm choose } ]

/// Twelve batches of five; both sets record the threads that read them.
let private watchedData () =
    let data = Synthetic.dataset 3L 60 60
    let train, trainThreads = watched data.Train
    let test, testThreads = watched data.Test
    { data with Train = train; Test = test }, trainThreads, testThreads

let private recipe = { quick with Batch = 5 }

/// A function that cancels at its nth call.
let private cancelAt n (source: CancellationTokenSource) =
    let mutable count = 0

    fun () ->
        count <- count + 1

        if count = n then
            source.Cancel()

let private leftovers folder =
    Directory.GetFileSystemEntries(folder, ".*")
    |> Array.append (Directory.GetFiles(folder, "*.tmp"))
    |> Array.append (Directory.GetFiles(folder, "run.lock"))

let private cancelling =
    [ for engine in [ Trained Execution.Default; PackedEngine ] do
          test $"a cancelled evaluation by {engine} leaves no thread" {
              use folder = new TempFolder()
              use network = LoadedNetwork.load (Some engine) (fst (saved BatchNorm folder))
              let data, _, threads = watchedData ()
              use source = new CancellationTokenSource()
              let cancel = cancelAt 7 source

              let images =
                  { data.Test with
                      Load =
                          fun i ->
                              lock source cancel
                              data.Test.Load i }

              let runOptions = { RunOptions.Default with Cancellation = source.Token }
              expectCancelled (fun () -> Evaluation.accuracyOfLoaded runOptions 5 network images |> ignore)
              expectEnded threads
          }

      for step in [ 1; 5; 12 ] do
          test $"a training cancelled at step {step} leaves no thread and no temporary file" {
              use folder = new TempFolder()
              let data, threads, _ = watchedData ()
              use source = new CancellationTokenSource()
              let cancel = cancelAt step source

              let handler event =
                  match event with
                  | StepDone _ -> cancel ()
                  | _ -> ()

              let plan = Pipeline.from data |> Pipeline.into folder.Path |> Pipeline.onEvent handler
              let plan = { plan with Options = { plan.Options with Cancellation = source.Token } }
              expectCancelled (fun () -> Pipeline.train recipe (tiny NoNorm) plan |> ignore)
              expectEnded threads
              Expect.isEmpty (leftovers folder.Path) "files"
              Expect.isNonEmpty (RunFolder.checkpoints { Path = folder.Path } 1) "checkpoints"
          } ]

/// Images that keep the packed engine busy for ten seconds or more.
let private slowImages = 20

let private slowValues = lazy (Array.zeroCreate<float32>(slowImages * 3 * 256 * 256))

let private predictTensors (path: string) (folder: TempFolder) cancellation =
    use network = LoadedNetwork.load None path
    let input, output = folder.File "input.safetensors", folder.File "output.safetensors"
    let shape = [| int64 slowImages; 3L; 256L; 256L |]
    let values = ReadOnlyMemory(Array.zeroCreate<byte>(4 * slowValues.Value.Length))
    SafetensorsWriter().Add("input", DType.F32, ReadOnlySpan shape, values).Save input
    expectCancelled (fun () -> RawTensors.predict network (cancellation ()) input output)
    Expect.isFalse (File.Exists output) "output"

let private evaluate (path: string) (_: TempFolder) cancellation =
    use network = LoadedNetwork.load None path
    let images = ImageSource.ofImages "slow" (Array.create slowImages (Image.blank 256 256, 0))
    let runOptions = { RunOptions.Default with Cancellation = cancellation () }
    expectCancelled (fun () -> Evaluation.accuracyOfLoaded runOptions slowImages network images |> ignore)

let private predictFromCode (path: string) (_: TempFolder) cancellation =
    use predictor = Predictor.Load path
    expectCancelled (fun () -> predictor.Logits(slowValues.Value, cancellation ()) |> ignore)

/// One batch takes ten seconds or more: only the engine itself can end it sooner.
let private endingInARun =
    [ for name, work in [ "tensors", predictTensors; "evaluation", evaluate; "Predictor", predictFromCode ] do
          test $"{name}: the packed engine ends in the middle of a run" {
              use folder = new TempFolder()
              let path = folder.File "slow.safetensors"
              PackedFile.Write(path, Models.slow)
              let clock = Stopwatch()
              use source = new CancellationTokenSource()

              work path folder (fun () ->
                  source.Token.Register(fun () -> clock.Start()) |> ignore
                  source.CancelAfter 200
                  source.Token)

              Expect.isLessThan clock.Elapsed (TimeSpan.FromSeconds 2.0) "time to end"
          }

      test "a verification ends before the next layer" {
          use folder = new TempFolder()
          let trained, packed = saved NoNorm folder

          use checkpoint =
              Checkpoint.load torch.ScalarType.Float32 trained |> Checkpoint.running Execution.Portable

          use network = PackedNetwork.Load packed
          use images = Verification.noise checkpoint 1
          use source = new CancellationTokenSource()
          let runner = PackedRunner.cancelledBy source.Token network
          let cancel = cancelAt 3 source
          let mutable layers = 0

          let counting =
              { runner with
                  RunLayer =
                      fun number x height width ->
                          cancel ()
                          let result = runner.RunLayer number x height width
                          layers <- layers + 1
                          result }

          expectCancelled (fun () -> Verification.run checkpoint network.Model counting images |> ignore)
          Expect.equal layers 2 "layers"
      } ]

let tests =
    testList
        "concurrency"
        [ testList "predict" predicting
          testList "cancelled" cancelling
          testList "cancelled at once" endingInARun ]
