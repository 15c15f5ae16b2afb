/// The start that a first batch of images decides (deviation 6).
module NormFree.Tests.Training.DataDependentInitTests

open System.Threading
open Expecto
open NormFree.Data
open NormFree.Spec
open NormFree.Torch
open NormFree.Runs
open NormFree.Networks
open NormFree.Training
open NormFree.Tests.Data.Support
open NormFree.Tests.Golden
open NormFree.Tests.Training.Support
open TorchSharp

let private measured = { quick with Epochs = 1; Initialisation = Initialisation.DataDependent }
let private create net = Network.create torch.ScalarType.Float32 Rule.Corrected 3L net
let private variances net = (Net.binaryBody net).Value.ExpectedVariance

/// Mean and variance over batch and pixels of every channel of what each layer signs.
let private signed (network: Network) (images: torch.Tensor) =
    use _ = torch.no_grad ()
    let found = ResizeArray()
    let tensors = System.Collections.Generic.Dictionary(dict network.Tensors)

    let run graph (x: torch.Tensor) =
        CompositeEngine(Convolutions.plain tensors, tensors).Run(Evaluate, (graph: Graph), x)

    (images, Lowering.parts network.Spec)
    ||> List.fold (fun x (_, graph) ->
        for part in Fusion.parts graph do
            match part with
            | Layer layer ->
                let signed = (x.Times layer.Convolution.Beta).Plus tensors[layer.Convolution.Shift]
                let flat = signed.permute(1L, 0L, 2L, 3L).flatten 1L
                found.Add(Agreement.values (flat.mean [| 1L |]), Agreement.values (flat.var (1L, false)))
            | Plain _ -> ()

        run graph x)
    |> ignore

    List.ofSeq found

let private centred =
    [ for norm in [ BnFree 0.2; Scaled 0.2 ] do
          test $"{Names.norm norm}: what is signed has mean 0 in every channel, and variance 1 on average over them" {
              use _ = torch.NewDisposeScope()
              let images = images torch.ScalarType.Float32 "start" 16
              use fresh = create (tiny norm)
              use start = DataDependentInit.ofImages fresh images
              use network = create start.Net
              DataDependentInit.apply start network
              let layers = signed network images
              Expect.hasLength layers 9 "layers"

              for means, variances in layers do
                  Expect.all means (fun mean -> abs mean < 1e-4) "means"
                  Expect.floatClose Accuracy.low (Array.average variances) 1.0 "variance"
          } ]

let private trained folder runOptions recipe net =
    { Pipeline.from (Synthetic.dataset 5L 60 20) with Options = runOptions }
    |> Pipeline.into folder
    |> Pipeline.train recipe net

let private trainedBinary folder runOptions net =
    { Pipeline.from (Synthetic.dataset 5L 60 20) with Options = runOptions }
    |> Pipeline.into folder
    |> Pipeline.trainBinaryFrom None measured net

/// Stops a training behind its second step.
let private interrupts (train: RunOptions -> unit) =
    use stop = new CancellationTokenSource()

    let watch event =
        match event with
        | StepDone { Images = 40 } -> stop.Cancel()
        | _ -> ()

    let runOptions = { RunOptions.Default with Watch = watch; Cancellation = stop.Token }
    Expect.throwsT<System.OperationCanceledException> (fun () -> train runOptions) "interrupted"

let private hasMeasured (net: NetSpec) =
    match variances net with
    | ExpectedVariance.Measured found -> found.Length = 9 && found |> List.exists (fun v -> abs (v - 1.0) > 0.1)
    | _ -> false

let private pipelines =
    [ test "stage 2 keeps what was measured for stage 1, and so does the packed network's checkpoint" {
          use folder = new TempFolder()

          trained folder.Path RunOptions.Default measured (tiny (BnFree 0.2))
          |> Pipeline.binariseWeights measured
          |> look (fun second ->
              Expect.isTrue (hasMeasured second.Network.Spec) "stage 2"
              let first = Checkpoint.readSpec ((RunFolder.at folder.Path).Last 1)
              Expect.equal (variances second.Network.Spec) (variances first) "variances")
      }

      test "a run that was interrupted goes on with what it had measured, to the bits of one that was not" {
          use whole = new TempFolder()
          use parted = new TempFolder()
          let net = tiny (BnFree 0.2)

          let expected =
              trained whole.Path RunOptions.Default measured net |> look (fun t -> tensorBits t.Network)

          interrupts (fun runOptions -> trained parted.Path runOptions measured net |> look ignore)

          let actual = trained parted.Path RunOptions.Default measured net |> look (fun t -> tensorBits t.Network)

          sameBits actual expected "weights"
      }

      test "a run that begins with binary weights measures them, says so, and goes on with what it had measured" {
          use whole = new TempFolder()
          use parted = new TempFolder()
          let net = tiny (BnFree 0.2)
          let expected = trainedBinary whole.Path RunOptions.Default net |> look (fun t -> tensorBits t.Network)
          interrupts (fun runOptions -> trainedBinary parted.Path runOptions net |> look ignore)
          let saved = Checkpoint.readSpec ((RunFolder.at parted.Path).Last 2)
          Expect.isTrue (hasMeasured saved) "the checkpoint"

          trainedBinary parted.Path RunOptions.Default net
          |> look (fun t ->
              Expect.equal t.Network.Spec saved "the network"
              sameBits (tensorBits t.Network) expected "weights"
              let configuration = Map(RunConfiguration.rows t.Configuration)
              Expect.equal configuration["activations+weights: initialisation"] "data-dependent" "run.json: the start"
              let variances = Names.expectedVariance (variances saved)
              Expect.equal configuration["expected variance"] variances "run.json: the variances")
      }

      test "a run that begins with another one's weights has its variances, whatever its own recipe would do" {
          use first = new TempFolder()
          use second = new TempFolder()
          let net = tiny (BnFree 0.2)
          trained first.Path RunOptions.Default measured net |> look ignore
          let file = (RunFolder.at first.Path).Last 1

          let plan = Pipeline.from (Synthetic.dataset 5L 60 20) |> Pipeline.into second.Path

          plan
          |> Pipeline.trainBinaryFrom (Some file) { measured with Initialisation = Initialisation.Fixed } net
          |> look (fun t -> Expect.equal (variances t.Network.Spec) (variances (Checkpoint.readSpec file)) "variances")

          // Gone on with when that file is no longer there.
          System.IO.File.Delete file

          plan
          |> Pipeline.trainBinaryFrom (Some file) { measured with Initialisation = Initialisation.Fixed } net
          |> look (fun t -> Expect.isTrue (hasMeasured t.Network.Spec) "variances")
      }

      test "batch norm has nothing to measure for" {
          use folder = new TempFolder()

          trained folder.Path RunOptions.Default measured (tiny BatchNorm)
          |> look (fun t -> Expect.equal (variances t.Network.Spec) ExpectedVariance.Corrected "variances")
      } ]

let tests = testList "data-dependent start" (centred @ pipelines)
