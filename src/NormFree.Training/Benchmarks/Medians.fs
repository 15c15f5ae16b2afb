namespace NormFree.Training

open System
open NormFree.Torch.Profiling

/// One measured step: its phases, all of it in milliseconds, and its layers where they are measured.
type internal StepTimes = { Phases: PhaseTimes; Total: float; Layers: LayerTime list }

/// What many steps say together.
module internal Medians =

    let round (value: float) = Math.Round(value, 3)

    let private median values = round (Spread.Of values).Median

    let phases (steps: StepTimes list) =
        let median pick = steps |> List.map (_.Phases >> pick) |> median

        { Data = median _.Data
          Forward = median _.Forward
          Backward = median _.Backward
          Clip = median _.Clip
          Step = median _.Step }

    let private times pick (layers: LayerTime list) = layers |> List.choose (pick >> Option.ofNullable)

    let private medianOfAny values =
        match values with
        | [] -> None
        | values -> Some(median values)

    /// What a phase took beside the layers.
    let private rest phase pick (steps: StepTimes list) =
        steps |> List.map (fun s -> phase s.Phases - List.sum (times pick s.Layers)) |> medianOfAny

    /// Each layer's phases, and what is left of the phases: a backward pass that the engine does not tell apart is part of the rest.
    let layers (steps: StepTimes list) =
        let all = steps |> List.collect _.Layers

        [ for name, measured in all |> List.groupBy _.Layer do
              { Name = name
                ForwardMs = measured |> times _.Forward |> medianOfAny
                BackwardMs = measured |> times _.Backward |> medianOfAny }
          { Name = "rest"
            ForwardMs = rest _.Forward _.Forward steps
            BackwardMs = rest _.Backward _.Backward steps } ]

    /// Images per second.
    let speed batch (steps: StepTimes list) =
        let speeds = steps |> List.map (fun s -> 1000.0 * float batch / s.Total) |> Spread.Of
        { Median = round speeds.Median; Min = round speeds.Min; Max = round speeds.Max }
