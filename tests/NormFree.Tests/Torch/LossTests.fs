/// Compares losses with scalar loops, and their gradients with central differences.
module NormFree.Tests.Torch.LossTests

open System
open Expecto
open NormFree.Torch
open NormFree.Torch.Training
open NormFree.Tests.Golden
open TorchSharp
open NormFree.Tests.Torch.LayerSupport

let private softmax (logits: float[]) =
    let top = Array.max logits
    let e = logits |> Array.map (fun v -> exp (v - top))
    e |> Array.map (fun v -> v / Array.sum e)

let tests =
    let n, k = 3, 4
    let labels () = torch.tensor [| 1L; 3L; 0L |]

    testList
        "losses"
        [ testPropertyWithConfig repeatedly "label smoothing equals the cross entropy with smoothed targets"
          <| fun (seed: int) ->
              use _ = torch.NewDisposeScope()
              let logits, epsilon = values seed (n * k), 0.1

              let expected =
                  Array.zip (Array.splitInto n logits) [| 1; 3; 0 |]
                  |> Array.averageBy (fun (row, label) ->
                      softmax row
                      |> Array.mapi (fun c p ->
                          -((if c = label then 1.0 - epsilon else 0.0) + epsilon / float k) * log p)
                      |> Array.sum)

              same (Losses.LabelSmoothing(tensor [ n; k ] logits, labels (), epsilon)) [| expected |] "loss"

          testPropertyWithConfig repeatedly "with shares of two classes, losses are those of both classes in that ratio"
          <| fun (seed: int) ->
              use _ = torch.NewDisposeScope()
              let logits = tensor [ n; k ] (values seed (n * k))
              let first, second = labels (), torch.tensor [| 2L; 3L; 1L |]
              let share = 0.3

              let shares =
                  (torch.nn.functional.one_hot(first, k).``to`` torch.ScalarType.Float64).Times share
                  + (torch.nn.functional.one_hot(second, k).``to`` torch.ScalarType.Float64).Times(1.0 - share)

              for name, loss in
                  [ "cross entropy", (fun target -> Losses.CrossEntropy(logits, target))
                    "label smoothing", (fun target -> Losses.LabelSmoothing(logits, target, 0.1)) ] do
                  let mixed = (loss first).Times share + (loss second).Times(1.0 - share)
                  same (loss shares) (Agreement.values mixed) name

          testPropertyWithConfig repeatedly "distillation equals the soft cross entropy"
          <| fun (seed: int) ->
              use _ = torch.NewDisposeScope()
              let student, teacher = values seed (n * k), values (seed + 1) (n * k)

              let expected =
                  Array.zip (Array.splitInto n student) (Array.splitInto n teacher)
                  |> Array.averageBy (fun (s, t) ->
                      Array.map2 (fun p q -> -q * log p) (softmax s) (softmax t) |> Array.sum)

              same (Losses.Distillation(tensor [ n; k ] student, tensor [ n; k ] teacher)) [| expected |] "loss"

          testPropertyWithConfig { repeatedly with maxTest = 5 } "the losses' gradients"
          <| fun (seed: int) ->
              let student = [ n; k ], values seed (n * k)
              let teacher = values (seed + 1) (n * k)
              checkGradients "cross entropy" [ student ] (fun leaves -> Losses.CrossEntropy(leaves.Head, labels ()))

              checkGradients "label smoothing" [ student ] (fun leaves ->
                  Losses.LabelSmoothing(leaves.Head, labels (), 0.1))

              checkGradients "distillation" [ student ] (fun leaves ->
                  Losses.Distillation(leaves.Head, tensor [ n; k ] teacher))

          test "no gradient flows into the teacher" {
              use _ = torch.NewDisposeScope()
              let student, teacher = leaf [ n; k ] (values 1 (n * k)), leaf [ n; k ] (values 2 (n * k))
              Losses.Distillation(student, teacher).backward()
              Expect.isNull teacher.grad "the teacher's gradient"
          } ]
