namespace NormFree.Benchmarks

open System
open NormFree.Networks
open NormFree.Runs
open NormFree.Torch.Distributed
open NormFree.Torch.Profiling
open NormFree.Training

/// One measured step: its phases, all of it in milliseconds, what ranks told one another, and its layers where they are measured.
type internal StepTimes = { Phases: PhaseTimes; Total: float; Exchange: CommunicationTime; Layers: LayerTime list }

/// What many steps say together.
module internal Medians =

    let round (value: float) = Math.Round(value, 3)

    let private median values = round (Spread.Of values).Median

    let phases (steps: StepTimes list) =
        let median pick = steps |> List.map (_.Phases >> pick) |> median

        { Data = median _.Data
          Forward = median _.Forward
          Backward = median _.Backward
          Exchange = median _.Exchange
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

    /// What ranks told one another in that many messages.
    let exchange messages wire (steps: StepTimes list) : ExchangeCosts =
        let of' pick = steps |> List.map (fun s -> pick s.Exchange) |> median

        { Bytes = steps.Head.Exchange.Bytes
          Messages = messages
          BusyMs = of' (fun (e: CommunicationTime) -> e.BusyMs)
          ExposedMs = of' (fun (e: CommunicationTime) -> e.ExposedMs)
          Overlap = of' (fun (e: CommunicationTime) -> e.Overlap)
          NetworkLink = wire }

    /// Images per second.
    let speed batch (steps: StepTimes list) =
        let speeds = steps |> List.map (fun s -> 1000.0 * float batch / s.Total) |> Spread.Of
        { Median = round speeds.Median; Min = round speeds.Min; Max = round speeds.Max }
