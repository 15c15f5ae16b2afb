module NormFree.Tests.Training.ExecutionTests

open System
open System.IO
open Expecto
open NormFree.Data
open NormFree.Spec
open NormFree.Runs
open NormFree.Networks
open NormFree.Training
open NormFree.Tests
open NormFree.Tests.Data.Support
open NormFree.Tests.Training.Support
open TorchSharp

let private cpu, gpu = DeviceType.CPU, DeviceType.CUDA
let private single, double = torch.ScalarType.Float32, torch.ScalarType.Float64
let private execution engine precision = { Engine = engine; Precision = precision }
let private bf16 = execution Fused Precision.BFloat16
let private impossible = execution Composite Precision.BFloat16

let private names =
    [ test "engines and precisions have the names of the command line" {
          Expect.equal (List.map Json.name [ Fused; Composite ]) [ "fused"; "composite" ] "engines"
          Expect.equal (List.map Json.name [ Float32; Precision.BFloat16 ]) [ "float32"; "bf16" ] "precisions"
      }

      for asked in [ Execution.Default; Execution.Portable; bf16 ] do
          test $"{Json.write asked} is read back" {
              Expect.equal (Json.read<Execution>(Json.write asked)) (Ok asked) "value"
          } ]

let private used =
    [ for asked, device, dtype, expected in
          [ Execution.Default, cpu, single, Execution.Default
            bf16, cpu, single, bf16
            Execution.Portable, cpu, single, Execution.Portable
            Execution.Default, cpu, double, Execution.Portable
            Execution.Default, gpu, single, Execution.Portable ] do
          test $"{Json.write asked} on {device} in {dtype} is {Json.write expected}" {
              Expect.equal (asked.On(device, dtype)) (Ok expected) "what is used"
          }

      test "bf16 for a float64 network is rejected with a remedy" {
          match bf16.On(cpu, double) with
          | Ok used -> failtest $"it is {used}"
          | Error why -> contains [ "bf16 needs a network of float32"; "precision float32" ] why
      }

      for asked, device, said in [ impossible, cpu, "choose engine fused"; bf16, gpu, "choose device cpu" ] do
          test $"{Json.write asked} on {device} is rejected with a remedy" {
              match asked.On(device, single) with
              | Ok used -> failtest $"it is {used}"
              | Error why -> contains [ "bf16 needs the fused engine"; said; "precision float32" ] why
          } ]

let private networks =
    [ test "a network with another execution has the same tensors" {
          use network = Network.create single Rule.Corrected 1L (tiny (BnFree 0.2))
          let other = network |> Network.running Execution.Portable
          Expect.equal (network.Execution, other.Execution) (Execution.Default, Execution.Portable) "executions"

          for (name, one), (_, two) in List.zip network.Tensors other.Tensors do
              Expect.isTrue (Object.ReferenceEquals(one, two)) name
      }

      test "a float64 network uses the composite engine" {
          use network = Network.create double Rule.Corrected 1L (tiny NoNorm)
          Expect.equal network.Execution Execution.Portable "execution"
      } ]

let private data = lazy (Synthetic.dataset 3L 60 20)

/// Stage 1 in a folder with an execution: its configuration and warnings.
let private train folder asked epochs =
    let warnings = ResizeArray()

    let handler event =
        match event with
        | Warning text -> warnings.Add text
        | _ -> ()

    let plan = Pipeline.from data.Value |> Pipeline.into folder |> Pipeline.onEvent handler

    use trained =
        { plan with Options = { plan.Options with Execution = asked } }
        |> Pipeline.train { quick with Epochs = epochs } (tiny NoNorm)

    RunConfiguration.rows trained.Configuration, List.ofSeq warnings

/// Stops the same run after its first step.
let private interrupt folder asked epochs =
    use source = new System.Threading.CancellationTokenSource()

    let handler event =
        match event with
        | StepDone _ -> source.Cancel()
        | _ -> ()

    let plan = Pipeline.from data.Value |> Pipeline.into folder |> Pipeline.onEvent handler

    let plan = { plan with Options = { plan.Options with Execution = asked; Cancellation = source.Token } }

    messageOf<System.OperationCanceledException, _>(fun () ->
        Pipeline.train { quick with Epochs = epochs } (tiny NoNorm) plan)
    |> ignore

let private pipelines =
    [ test "run.json records engine, precision and threads" {
          use folder = new TempFolder()
          train folder.Path bf16 1 |> ignore
          let described = (RunFolder.readRun { Path = folder.Path }).Configuration

          for name, value in
              [ "engine", "fused"; "precision", "bf16"; "torch threads", string (torch.get_num_threads ()) ] do
              Expect.contains described ("environment." + name, value) name

          use saved = Checkpoint.load single ((RunFolder.at folder.Path).Last 1)
          Expect.equal saved.State.Execution (Some bf16) "in the checkpoint"
      }

      test "a run that resumes with another engine or precision warns, a finished one does not" {
          for other, said in [ Execution.Portable, "engine composite"; bf16, "precision bf16" ] do
              use folder = new TempFolder()
              interrupt folder.Path Execution.Default 1

              match train folder.Path other 1 with
              | _, [ text ] ->
                  contains [ "was written with engine fused, precision float32"; said; "rounded differently" ] text
              | _, warnings -> failtest $"one warning was expected, not {warnings}"

              Expect.isEmpty (snd (train folder.Path other 1)) "the same execution"
              Expect.isEmpty (snd (train folder.Path Execution.Default 1)) "a finished run"
      }

      test "an unsupported execution is rejected before the run starts" {
          use folder = new TempFolder()
          let text = messageOf<TrainingException, _>(fun () -> train folder.Path impossible 1)
          contains [ "bf16 needs the fused engine" ] text
          Expect.isEmpty (Directory.GetFileSystemEntries folder.Path) "files"
      } ]

let tests =
    testList
        "execution"
        [ testList "names" names
          testList "what is used" used
          testList "networks" networks
          testList "pipelines" pipelines ]
