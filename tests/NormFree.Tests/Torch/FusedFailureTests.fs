/// Invalid arguments of fused layers, failing backward passes, memory leaks, and determinism over threads.
module NormFree.Tests.Torch.FusedFailureTests

open System
open Expecto
open NormFree.Data
open NormFree.Torch
open NormFree.Torch.Fused
open NormFree.Tests
open NormFree.Tests.Data.Support
open NormFree.Tests.Golden
open NormFree.Tests.Torch.FusedLayers
open TorchSharp

module Support = NormFree.Tests.Training.Support

// ---- Invalid arguments ----

/// The message of the ArgumentException that an action throws. Gradients must still be enabled afterwards.
let private rejection action =
    let text = messageOf<ArgumentException, _> action
    Expect.isTrue (torch.is_grad_enabled ()) "gradients are enabled"
    text

let private real =
    { (cases (false, true, Given))[8] with Kernel = 3; Stride = 1; Batch = 2; In = 8; Outs = [ 6 ] }

/// The inputs with one of their tensors changed.
let private changed change (inputs: Inputs) =
    let p = inputs.Parameters

    let all change (tensors: System.Collections.Generic.IReadOnlyList<torch.Tensor>) =
        tensors |> Seq.map change |> Seq.toArray

    match change with
    | "x", change -> { inputs with X = change inputs.X }
    | "shortcut", change -> { inputs with Shortcut = Option.map change inputs.Shortcut }
    | "shift", change ->
        { inputs with Parameters = BinaryLayerParameters(change p.Shift, p.Weights, p.Gains, p.Activation) }
    | "weight", change ->
        { inputs with
            Parameters = BinaryLayerParameters(p.Shift, all change p.Weights, p.Gains, p.Activation) }
    | "gain", change ->
        { inputs with
            Parameters = BinaryLayerParameters(p.Shift, p.Weights, all change p.Gains, p.Activation) }
    | "activation", change ->
        { inputs with
            Parameters = BinaryLayerParameters(p.Shift, p.Weights, p.Gains, all change p.Activation) }
    | name, _ -> failwith name

let private tensors = [ "x"; "shortcut"; "shift"; "weight"; "gain"; "activation" ]
let private toDouble (tensor: torch.Tensor) = tensor.``to`` torch.ScalarType.Float64

let private rejections =
    [ for binary in [ false; true ] do
          for name in tensors do
              test $"a float64 {name} is rejected in the forward pass, binary weights {binary}" {
                  use _ = torch.NewDisposeScope()
                  let case = { real with Binary = binary }

                  let inputs = changed (name, toDouble) (inputs 1L case)
                  rejection (fun () -> fused case inputs) |> contains [ "Float32"; "Float64" ]
              }

          for what, name, change in
              [ "with one channel too few", "x", (fun (x: torch.Tensor) -> x.narrow (1L, 0L, x.size 1 - 1L))
                "with too few rows", "x", (fun x -> x.narrow (2L, 0L, x.size 2 - 2L))
                "with two axes", "x", (fun x -> x.reshape (x.size 0, -1L))
                "with one image too few", "shortcut", (fun shortcut -> shortcut.narrow (0L, 0L, 1L))
                "transposed", "shortcut", (fun shortcut -> shortcut.transpose (2L, 3L))
                "with too few channels", "shift", (fun shift -> shift.narrow (1L, 0L, 3L))
                "with too few taps", "weight", (fun weight -> weight.narrow (2L, 0L, 1L))
                "with too few filters", "weight", (fun weight -> weight.narrow (0L, 0L, 3L))
                "with too few filters", "gain", (fun gain -> gain.narrow (0L, 0L, 1L))
                "with too few channels", "activation", (fun parameter -> parameter.reshape(-1L).narrow(0L, 0L, 2L)) ] do
              test $"{name} {what} is rejected, binary weights {binary}" {
                  use _ = torch.NewDisposeScope()
                  let case = { real with Binary = binary }
                  let inputs = changed (name, change) (inputs 1L case)
                  rejection (fun () -> fused case inputs) |> contains [ "the layer" ]
              }

      for stride, outs, expected in [ 1, [ 12 ], "8×6×5 of x cannot be repeated to 12×6×5"; 2, [ 8 ], "to 8×3×3" ] do
          test $"x is rejected as the shortcut of {outs} channels with stride {stride}" {
              use _ = torch.NewDisposeScope()
              let case = { real with ShortcutKind = Itself; Stride = stride; Outs = outs }
              rejection (fun () -> fused case (inputs 1L case)) |> contains [ expected; "pass a shortcut" ]
          }

      test "gains without standardisation are rejected, and standardisation without gains" {
          use _ = torch.NewDisposeScope()

          for standardised in [ false; true ] do
              let inputs = inputs 1L { real with Standardised = not standardised }
              rejection (fun () -> fused { real with Standardised = standardised } inputs) |> contains [ "gains" ]
      }

      test "a branch and a shortcut of different shapes are rejected" {
          use _ = torch.NewDisposeScope()
          let inputs = inputs 1L real
          let branch = Option.get inputs.Shortcut
          // The same number of values in another shape.
          let turned = branch.transpose (2L, 3L)

          let apply branch shortcut () =
              ResidualRPReLU.Apply("the layer", branch, shortcut, inputs.Parameters.Activation)

          rejection (apply branch turned) |> contains [ "the layer"; "shortcut" ]
          rejection (apply branch (branch.narrow (1L, 0L, 5L))) |> contains [ "the layer"; "shortcut" ]
          let narrow = branch.narrow (1L, 0L, 5L)
          rejection (apply narrow narrow) |> contains [ "the layer"; "activation" ]
      }

      test "a float64 branch or shortcut is rejected" {
          use _ = torch.NewDisposeScope()
          let inputs = inputs 1L real
          let shortcut = Option.get inputs.Shortcut

          for branch, shortcut in [ toDouble shortcut, shortcut; shortcut, toDouble shortcut ] do
              rejection (fun () -> ResidualRPReLU.Apply("the layer", branch, shortcut, inputs.Parameters.Activation))
              |> contains [ "Float32"; "Float64" ]
      } ]

let private failures =
    [ for name, case in typical do
          test $"a failed backward pass throws once, in FusedBackward.End, and the process continues: {name}" {
              use _ = torch.NewDisposeScope()
              let inputs = inputs 1L case
              let y = fused case inputs
              let gradient = torch.ones_like y
              y.backward ([| gradient |], retain_graph = true)
              FusedBackward.End()
              // The first pass has freed the layer's state.
              y.backward [| gradient |]

              let failure =
                  Expect.throwsC (fun () -> FusedBackward.End()) (fun failure ->
                      Expect.equal (failure.GetType()) typeof<InvalidOperationException> "type"
                      failure)

              contains [ "backward"; "the layer" ] failure.Message
              Expect.isNotNull failure.InnerException "its cause"
              FusedBackward.End()
              // Later passes are not affected.
              let again = Agreement.values (run case inputs)
              Expect.equal again (Agreement.values y) "the next pass"
          }

          test $"a second derivative throws in FusedBackward.End: {name}" {
              use _ = torch.NewDisposeScope()
              let y = fused case (inputs 1L case)
              y.backward ([| torch.ones_like y |], create_graph = true)

              Expect.throwsC (fun () -> FusedBackward.End()) (fun failure ->
                  contains [ "the layer"; "second derivative"; "composite engine" ] failure.Message)
          } ]

// ---- The process ----

let private step seed case =
    use _ = torch.NewDisposeScope()
    run case (inputs seed case) |> ignore

/// These tests count all tensors of the process or set its threads, so they run alone.
let private sequenced =
    [ for name, case in typical do
          test $"steps leak no tensor: {name}" {
              step 1L case
              let before = Support.alive ()

              for seed in 2L .. 11L do
                  step seed case

              Expect.equal torch.Tensor.TotalCount before "tensors, before any collection"
          }

          test $"a forward pass without a backward pass leaks nothing after a collection: {name}" {
              let forward seed =
                  use _ = torch.NewDisposeScope()
                  fused case (inputs seed case) |> ignore

              forward 1L
              let before = Support.alive ()

              for seed in 2L .. 11L do
                  forward seed

              Expect.equal (Support.alive ()) before "tensors"
          }

          test $"evaluation leaks no tensor: {name}" {
              use _ = torch.NewDisposeScope()
              use _ = torch.no_grad ()
              let inputs = inputs 1L case
              fused case inputs |> _.Dispose()
              let before = Support.alive ()

              for _ in 1..10 do
                  fused case inputs |> _.Dispose()

              Expect.equal torch.Tensor.TotalCount before "tensors, before any collection"
          }

      for binary in [ false; true ] do
          for standardised in [ false; true ] do
              test $"one thread and two give the same bits: binary weights {binary}, standardised {standardised}" {
                  use _ = torch.NewDisposeScope()

                  let case =
                      { real with
                          Binary = binary
                          Standardised = standardised
                          ShortcutKind = Itself
                          In = 64 + 3
                          Outs = [ 64 + 3 ]
                          Batch = 4
                          Side = 24, 25 }

                  let withThreads threads =
                      let before = torch.get_num_threads ()
                      torch.set_num_threads threads

                      try
                          let inputs = inputs 6L case
                          let y = run case inputs
                          ("y", y) :: gradientsOf inputs
                      finally
                          torch.set_num_threads before

                  for (name, one), (_, two) in List.zip (withThreads 1) (withThreads 2) do
                      // With real weights libtorch computes the input's gradient, and divides its sums among threads.
                      if binary || not (List.contains name [ "x"; "b" ]) then
                          sameBits name one two
                      else
                          close gradients name one two
              } ]

let tests =
    testList
        "fused layers' failures"
        [ testList "rejections" rejections
          testList "failures" failures
          testSequenced (testList "process" sequenced) ]
