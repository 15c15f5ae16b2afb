/// Compares adaptive gradient clipping with its loop over units.
module NormFree.Tests.Torch.ClippingTests

open System
open Expecto
open NormFree.Torch.Training
open NormFree.Tests.Golden
open TorchSharp
open NormFree.Tests.Torch.LayerSupport

let private norm (unit: float[]) = sqrt (unit |> Array.sumBy (fun v -> v * v))

/// The gradient of one unit, and whether it was clipped.
let private clipUnit factor (p: float[], g: float[]) =
    let limit = factor * max (norm p) 1e-3

    if norm g >= limit then
        g |> Array.map (fun v -> v * limit / max (norm g) 1e-6), true
    else
        g, false

let tests =
    testList
        "clipping"
        [ testPropertyWithConfig repeatedly "adaptive clipping equals its loop over units, and counts them"
          <| fun (seed: int) ->
              use _ = torch.NewDisposeScope()
              let random = Random seed

              let inputs =
                  [ for shape, units in [ [ 4; 3; 3; 3 ], 4; [ 1; 6; 1; 1 ], 1; [ 6 ], 1; [ 3; 5 ], 3 ] do
                        let count = List.reduce (*) shape
                        // Clipped and unclipped units, with some norms below the limits 1e-3 and 1e-6.
                        let scaled seed = values seed count |> Array.map ((*) (10.0 ** float (random.Next(-8, 1))))
                        shape, units, scaled (random.Next()), scaled (random.Next()) ]

              let parameters =
                  [ for shape, _, p, g in inputs do
                        let parameter = leaf shape p
                        parameter.grad <- tensor shape g
                        parameter ]

              let without = leaf [ 3 ] (values seed 3)

              let count =
                  parameters @ [ without ]
                  |> List.map (fun parameter -> AdaptiveGradientClipping.Clip(parameter, 0.02))
                  |> List.reduce (+)

              let expected =
                  [ for _, units, p, g in inputs ->
                        Array.zip (Array.splitInto units p) (Array.splitInto units g) |> Array.map (clipUnit 0.02) ]

              for parameter, units in List.zip parameters expected do
                  same (Agreement.gradient parameter) (Array.collect fst units) "clipped gradient"

              let clipped = expected |> List.sumBy (fun units -> units |> Array.filter snd |> Array.length)
              Expect.equal count (ClipCount(9L, int64 clipped)) "units and clipped units"
              Expect.isNull without.grad "a parameter without a gradient is skipped" ]
