namespace NormFree.Runs

open System
open System.Text.Json.Serialization
open NormFree.Spec

/// <summary>Whether to keep a departure of the published code or to mend it.</summary>
[<RequireQualifiedAccess>]
type Rule =
    | Published
    | Corrected

/// <summary>The places where the published code departs from sense, one switch each (numbers as in docs/method.md).</summary>
type Deviations =
    {
        /// 2: the schedule steps before each epoch, so that the last of E epochs trains at rate 0; corrected, the rate falls step by step, and epoch
        /// e begins at 1 − e/E.
        LastEpoch: Rule
        /// 4: PCA lighting made for [0, 1] is added to 0–255; corrected, it is multiplied by 255.
        Lighting: Rule
        /// 5: the expected variance misses steps; corrected, it follows NF-ResNet's rule.
        ExpectedVariance: Rule
        /// 7: weight decay reaches shifts and gains; corrected, it reaches weights of convolutions and the classifier only.
        WeightDecay: Rule
        /// 8: clipping reaches shifts, whose norm starts at 0; corrected, it reaches weights of convolutions only.
        Clipping: Rule
        /// 9: binary weights start non-negative; corrected, they start symmetric.
        BinaryInit: Rule
        /// 10: binary filters lose 1 − 2/π of their variance; corrected, they are multiplied by √(π/2).
        BinaryGain: Rule
        /// 14: one learning rate for all, though signals are about α times as large as behind a norm, and a step turns a filter by an angle that
        /// grows with its inputs; corrected, what is added to signals moves α times as fast, what multiplies them 1/α times, and large filters slower.
        Rates: Rule
        /// 15: without a norm nothing keeps signs balanced and signals of one size; corrected, shifts follow the mean of what they shift, and gains
        /// give way where signals grow.
        SignCentering: Rule
    }

    static member private All rule =
        { LastEpoch = rule
          Lighting = rule
          ExpectedVariance = rule
          WeightDecay = rule
          Clipping = rule
          BinaryInit = rule
          BinaryGain = rule
          Rates = rule
          SignCentering = rule }

    /// <summary>As published.</summary>
    static member Published = Deviations.All Rule.Published

    /// <summary>All mended.</summary>
    static member Corrected = Deviations.All Rule.Corrected

/// <summary>One switch of <c>Deviations</c>, for whoever goes through all of them.</summary>
type Deviation =
    {
        /// As in docs/method.md.
        Number: int
        Name: string
        Of: Deviations -> Rule
        With: Rule -> Deviations -> Deviations
    }

[<RequireQualifiedAccess>]
module Deviation =

    let private deviation number name get set = { Number = number; Name = name; Of = get; With = set }

    /// <summary>Every switch.</summary>
    let all =
        [ deviation 2 "last epoch's rate" _.LastEpoch (fun rule d -> { d with LastEpoch = rule })
          deviation 4 "lighting" _.Lighting (fun rule d -> { d with Lighting = rule })
          deviation 5 "expected variance" _.ExpectedVariance (fun rule d -> { d with ExpectedVariance = rule })
          deviation 7 "weight decay" _.WeightDecay (fun rule d -> { d with WeightDecay = rule })
          deviation 8 "clipping" _.Clipping (fun rule d -> { d with Clipping = rule })
          deviation 9 "binary initialisation" _.BinaryInit (fun rule d -> { d with BinaryInit = rule })
          deviation 10 "binary gain" _.BinaryGain (fun rule d -> { d with BinaryGain = rule })
          deviation 14 "rates" _.Rates (fun rule d -> { d with Rates = rule })
          deviation 15 "sign centering" _.SignCentering (fun rule d -> { d with SignCentering = rule }) ]

/// <summary>PyTorch's optimisers, with β = (0.9, 0.999) and ε = 1e-8 for Adam and AdamW.</summary>
type Optimiser =
    /// Weight decay is added to the gradient.
    | Adam
    /// Weight decay is apart from the gradient.
    | AdamW
    /// Nesterov's momentum where it is positive.
    | Sgd of momentum: float

/// <summary>How the learning rate falls over a stage's epochs.</summary>
type Schedule =
    | Constant
    | Linear
    | Cosine
    /// Multiplied by the factor after every so many epochs.
    | Step of every: int * factor: float

/// <summary>How a network begins, besides its random weights.</summary>
[<RequireQualifiedAccess>]
type Initialisation =
    /// Shifts of 0, and β by the expected variance.
    | [<JsonPropertyName "fixed">] Fixed
    /// With BnFree and Scaled: shifts and β by which what signs are taken of has zero mean in every channel of a first batch, and unit variance on
    /// average over them (deviation 6).
    | [<JsonPropertyName "data-dependent">] DataDependent

type Clip =
    | NoClipping
    /// Adaptive gradient clipping with this λ.
    | Agc of factor: float

type Loss =
    | CrossEntropy
    | LabelSmoothing of epsilon: float
    /// The teacher is a checkpoint; the labels are not used.
    | Distillation of teacher: string

/// <summary>How one stage is trained.</summary>
type Recipe =
    {
        Epochs: int
        /// Images a step.
        Batch: int
        Optimiser: Optimiser
        LearningRate: float
        WeightDecay: float
        Schedule: Schedule
        /// Epochs over which the rate rises from 0, step by step, under the schedule.
        WarmUp: int
        Loss: Loss
        Clip: Clip
        /// Of the stage that a run begins with, without an init; a stage 2 begins as stage 1 ends.
        Initialisation: Initialisation
        /// Share of the training set to set aside and choose the best epoch on; 0 chooses it on the test set (deviation 12).
        HeldOut: float
        /// Of everything random: first weights, order of the images, augmentation.
        Seed: int64
        Deviations: Deviations
    }

[<RequireQualifiedAccess>]
module Recipe =

    /// <summary>The paper's recipe for ImageNet, without its teacher; stage 1 adds a weight decay of 1e-5.</summary>
    let published =
        { Epochs = 256
          Batch = 256
          Optimiser = Adam
          LearningRate = 5e-4
          WeightDecay = 0.0
          Schedule = Linear
          WarmUp = 0
          Loss = CrossEntropy
          Clip = Agc 0.02
          Initialisation = Initialisation.Fixed
          HeldOut = 0.0
          Seed = 1L
          Deviations = Deviations.Published }

    /// <summary>The published recipe with every deviation mended, the data-dependent start (6) included.</summary>
    let corrected = { published with Deviations = Deviations.Corrected; Initialisation = Initialisation.DataDependent }

    let private problems recipe =
        [ if recipe.Epochs < 1 then
              $"the number of epochs must be at least 1, it is {recipe.Epochs}"
          if recipe.Batch < 1 then
              $"a batch must hold at least 1 image, it is to hold {recipe.Batch}"
          if not (recipe.LearningRate > 0.0 && Double.IsFinite recipe.LearningRate) then
              $"the learning rate must be positive, it is {recipe.LearningRate}"
          if not (recipe.WeightDecay >= 0.0 && Double.IsFinite recipe.WeightDecay) then
              $"the weight decay must be finite and not negative, it is {recipe.WeightDecay}"
          if recipe.WarmUp < 0 || recipe.WarmUp > recipe.Epochs then
              $"the warm-up must be between 0 and {recipe.Epochs} epochs, it is {recipe.WarmUp}"
          if not (recipe.HeldOut >= 0.0 && recipe.HeldOut < 1.0) then
              $"the share to hold out must be at least 0 and below 1, it is {recipe.HeldOut}"
          match recipe.Clip with
          | Agc factor when not (factor > 0.0) -> $"the clipping factor must be positive, it is {factor}"
          | _ -> ()
          match recipe.Loss with
          | LabelSmoothing e when not (e >= 0.0 && e <= 1.0) -> $"label smoothing must be between 0 and 1, it is {e}"
          | _ -> ()
          match recipe.Schedule with
          | Step(every, factor) when every < 1 || not (factor > 0.0) ->
              $"a step schedule needs at least 1 epoch and a positive factor, it has {every} and {factor}"
          | _ -> ()
          match recipe.Optimiser with
          | Sgd momentum when not (momentum >= 0.0 && momentum < 1.0) ->
              $"momentum must be at least 0 and below 1, it is {momentum}"
          | _ -> () ]

    /// <summary>The recipe itself, or everything that is wrong with it.</summary>
    let validate recipe =
        match problems recipe with
        | [] -> Ok recipe
        | problems -> Error problems

    /// Epochs of the schedule that count as over at a step of epoch e (from 0).
    let private elapsedEpochs recipe epoch partOfEpoch =
        match recipe.Deviations.LastEpoch with
        | Rule.Published -> float (epoch + 1)
        | Rule.Corrected -> float epoch + partOfEpoch

    /// <summary>The learning rate of a step: epoch and step from 0.</summary>
    let rate recipe stepsPerEpoch epoch step =
        let epochs = elapsedEpochs recipe epoch (float step / float stepsPerEpoch)
        let elapsed = epochs / float recipe.Epochs

        let scheduled =
            match recipe.Schedule with
            | Constant -> 1.0
            | Linear -> 1.0 - elapsed
            | Cosine -> 0.5 * (1.0 + cos (Math.PI * elapsed))
            | Step(every, factor) -> factor ** floor (epochs / float every)

        let warmUpSteps = recipe.WarmUp * stepsPerEpoch
        let taken = epoch * stepsPerEpoch + step + 1
        let warm = if taken >= warmUpSteps then 1.0 else float taken / float warmUpSteps
        recipe.LearningRate * scheduled * warm

    /// <summary>Whether the rate falls within epochs, too.</summary>
    let fallsByStep recipe =
        match recipe.Schedule, recipe.Deviations.LastEpoch with
        | (Linear | Cosine), Rule.Corrected -> true
        | (Linear | Cosine), Rule.Published
        | (Constant | Step _), _ -> false

    /// <summary>Sets the choices of a network that are the recipe's: its expected variance and its binary gain.</summary>
    /// <remarks>A variance that was measured stays.</remarks>
    let applyTo net recipe =
        let variance =
            match Net.binaryBody net |> Option.map _.ExpectedVariance, recipe.Deviations.ExpectedVariance with
            | Some(ExpectedVariance.Measured _ as measured), _ -> measured
            | _, Rule.Published -> ExpectedVariance.Published
            | _, Rule.Corrected -> ExpectedVariance.Corrected

        let gain =
            match recipe.Deviations.BinaryGain with
            | Rule.Published -> BinaryGain.One
            | Rule.Corrected -> BinaryGain.VariancePreserving

        net |> Net.withExpectedVariance variance |> Net.withBinaryGain gain

    /// <summary>Whether weight decay reaches a parameter. Published: 4-D ones and those with <c>conv</c> in their name.</summary>
    let decays recipe (parameter: ParameterSpec) =
        match recipe.Deviations.WeightDecay, parameter.Kind with
        | Rule.Published, _ -> parameter.Shape.Length = 4 || parameter.Key.Contains "conv"
        | Rule.Corrected, (ConvolutionWeight _ | LinearWeight) -> true
        | Rule.Corrected, _ -> false

    /// α, where the network has no norm but constants made with it.
    let private alpha net =
        match Net.binaryBody net |> Option.map _.Norm with
        | Some(BnFree alpha | Scaled alpha) -> Some alpha
        | Some(BatchNorm | NoNorm)
        | None -> None

    /// Up to so many inputs filters take the whole learning rate: those of 16 channels and 3×3 pixels.
    let private fastestInputs = 144.0

    /// <summary>The factor of the learning rate for a parameter of a network; 1 with batch norm and without any norm.</summary>
    /// <remarks>Corrected (14): α for shifts, 1/α for gains and the classifier's weight; √(144/n), at most 1, for filters of n inputs.</remarks>
    let rateFactor recipe net (parameter: ParameterSpec) =
        match recipe.Deviations.Rates, alpha net, parameter.Kind with
        | Rule.Corrected, Some _, ConvolutionWeight conv ->
            min 1.0 (sqrt (fastestInputs / float (conv.In * conv.Kernel * conv.Kernel)))
        | Rule.Corrected, Some alpha, ShiftBias -> alpha
        | Rule.Corrected, Some alpha, (Gain | LinearWeight) -> 1.0 / alpha
        | _ -> 1.0

    /// <summary>Whether a network's signs are kept balanced; never with batch norm and without any norm.</summary>
    let centresSigns recipe net = recipe.Deviations.SignCentering = Rule.Corrected && (alpha net).IsSome

    /// Whether a binary layer's shortcut has gains, as standardised convolutions have.
    let private hasGainsInShortcuts net =
        match Net.binaryBody net with
        | Some { Norm = BnFree _; Layers = layers } -> layers |> List.exists (fun layer -> layer.Shortcut = PoolProject)
        | _ -> false

    /// What a recipe leaves to rules that were others in earlier methods, in words, with the first method that had today's. Whoever changes a rule
    /// gives it a number above all others here, for what it touches alone.
    let private changedRules recipe net =
        [ if fallsByStep recipe then
              "the falling rate (2)", 2
          if recipe.Deviations.Rates = Rule.Corrected && (alpha net).IsSome then
              "rates (14)", 2
          if centresSigns recipe net then
              "balance (15)", (if hasGainsInShortcuts net then 3 else 2) ]

    /// The one that numbers begin with: what no later one has changed is still trained by it.
    let private firstMethod = 2

    /// <summary>The number of the method by which a recipe trains a network: raised whenever the same recipe comes to other weights, so that earlier
    /// results are not taken for today's, and only for the networks and recipes that come to others, so that results of the rest stay valid.</summary>
    let method recipe net = changedRules recipe net |> List.map snd |> List.fold max firstMethod

    /// <summary>The rules for this recipe and network that may be others than in that method, in words; None is before methods had numbers, and of a
    /// later version's nothing is known.</summary>
    let changedSince before recipe net =
        let isSame first = before |> Option.exists (fun number -> first <= number && number <= method recipe net)

        [ for words, first in changedRules recipe net do
              if not (isSame first) then
                  words ]

    /// <summary>Whether clipping reaches a parameter. Published: all but the classifier.</summary>
    let clips recipe (parameter: ParameterSpec) =
        match recipe.Deviations.Clipping, parameter.Kind with
        | Rule.Published, _ -> not (parameter.Key.Contains "fc")
        | Rule.Corrected, ConvolutionWeight _ -> true
        | Rule.Corrected, _ -> false
