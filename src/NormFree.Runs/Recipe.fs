namespace NormFree.Runs

open System
open NormFree.Spec

/// <summary>How one stage is trained.</summary>
type Recipe =
    {
        Epochs: int
        /// Images per step.
        Batch: int
        Optimiser: Optimiser
        LearningRate: float
        WeightDecay: float
        Schedule: Schedule
        /// Epochs of linear warm-up, applied on top of the schedule; fractions are allowed.
        WarmUp: float
        Loss: Loss
        Clip: Clip
        /// Of a run's first stage, unless it starts from a checkpoint. Stage 2 continues from stage 1.
        Initialisation: Initialisation
        /// Whether stage 2 measures β and the shifts again on 256 training images, with binary weights. None is false.
        Remeasure: bool option
        /// The decay of an exponential moving average of all weights. The average, not the weights, is evaluated, saved as the best network, and
        /// the stage's result. None averages nothing.
        WeightAverage: float option
        /// Fraction of the training set held out to choose the best epoch; 0 chooses it on the test set (deviation 12).
        HeldOut: float
        /// Epochs at the start of the stage in which only the classifier is trained. For trainings that start from a checkpoint.
        Freeze: int
        /// Seeds everything random: initial weights, image order, augmentation.
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
          WarmUp = 0.0
          Loss = CrossEntropy
          Clip = Agc Defaults.AgcLambda
          Initialisation = Initialisation.Fixed
          Remeasure = None
          WeightAverage = None
          HeldOut = 0.0
          Freeze = 0
          Seed = 1L
          Deviations = Deviations.Published }

    /// <summary>The published recipe with every deviation corrected, including data-dependent initialisation (6).</summary>
    let corrected =
        { published with Deviations = Deviations.Corrected; Initialisation = Initialisation.DataDependent }

    /// <summary>A&amp;B BNN's recipe for CIFAR (Ma et al., CVPR 2024, and its code), for networks of <c>Net.asAbBnn</c>. This is stage 2. Its rules are
    /// those of the published code, except that the last epoch trains at a rate above 0.</summary>
    let abBnn =
        { published with
            LearningRate = 1e-3
            Clip = Agc 0.001
            Deviations = { Deviations.Published with LastEpoch = Rule.Corrected } }

    /// <summary>Stage 1 of A&amp;B BNN's recipe, which alone has a weight decay.</summary>
    let abBnnStage1 = { abBnn with WeightDecay = 5e-6 }

    /// <summary>The checkpoint that the network is distilled from; None without distillation.</summary>
    let teacher (recipe: Recipe) =
        match recipe.Loss with
        | Distillation path -> Some path
        | CrossEntropy
        | LabelSmoothing _
        | CustomLoss _ -> None

    let private isPositive value = value > 0.0 && Double.IsFinite value

    let private problems recipe =
        [ if recipe.Epochs < 1 then
              $"the number of epochs must be at least 1, it is {recipe.Epochs}"
          if recipe.Epochs > snd Limits.epochs then
              $"the number of epochs must be at most {snd Limits.epochs}, it is {recipe.Epochs}"
          if recipe.Batch < 1 then
              $"a batch must hold at least 1 image, not {recipe.Batch}"
          if recipe.Batch > snd Limits.batch then
              $"a batch holds at most {snd Limits.batch} images, not {recipe.Batch}"
          if not (recipe.LearningRate > 0.0 && recipe.LearningRate <= Limits.learningRate) then
              $"the learning rate must be above 0 and at most {Limits.learningRate}, it is {recipe.LearningRate}"
          if not (recipe.WeightDecay >= 0.0 && recipe.WeightDecay <= Limits.weightDecay) then
              $"the weight decay must be between 0 and {Limits.weightDecay}, it is {recipe.WeightDecay}"
          // A wrong number of epochs is one problem, not two.
          if not (recipe.WarmUp >= 0.0) || (recipe.Epochs >= 1 && recipe.WarmUp > float recipe.Epochs) then
              $"the warm-up must be between 0 and {recipe.Epochs} epochs, it is {recipe.WarmUp}"
          if recipe.Freeze < 0 || (recipe.Epochs >= 1 && recipe.Freeze > recipe.Epochs) then
              $"the frozen epochs must be between 0 and {recipe.Epochs}, they are {recipe.Freeze}"
          if not (recipe.HeldOut >= 0.0 && recipe.HeldOut < 1.0) then
              $"the held-out fraction must be at least 0 and below 1, it is {recipe.HeldOut}"
          match recipe.WeightAverage with
          | Some decay when not (decay > 0.0 && decay < 1.0) ->
              $"the decay of the weight average must be between 0 and 1, it is {decay}"
          | _ -> ()
          match recipe.Clip with
          | Agc factor when not (isPositive factor) ->
              $"the clipping factor must be positive and finite, it is {factor}"
          | _ -> ()
          match recipe.Loss with
          | LabelSmoothing e when not (e >= 0.0 && e <= 1.0) -> $"label smoothing must be between 0 and 1, it is {e}"
          | _ -> ()
          match recipe.Schedule with
          | Step(every, factor) when every < 1 || not (isPositive factor) ->
              $"a step schedule needs at least 1 epoch and a positive factor, it has {every} and {factor}"
          | _ -> ()
          match recipe.Optimiser with
          | Sgd momentum when not (momentum >= 0.0 && momentum < 1.0) ->
              $"momentum must be at least 0 and below 1, it is {momentum}"
          | _ -> () ]

    /// <summary>The recipe itself, or all its errors.</summary>
    let validate recipe =
        match problems recipe with
        | [] -> Ok recipe
        | problems -> Error problems

    /// Elapsed epochs of the schedule at a step of epoch e (from 0).
    let private elapsedEpochs recipe epoch partOfEpoch =
        match recipe.Deviations.LastEpoch with
        | Rule.Published -> float (epoch + 1)
        | Rule.Corrected -> float epoch + partOfEpoch

    /// <summary>The learning rate of a step; epoch and step count from 0.</summary>
    let rate recipe stepsPerEpoch epoch step =
        let epochs = elapsedEpochs recipe epoch (float step / float stepsPerEpoch)
        let elapsed = epochs / float recipe.Epochs

        let scheduled =
            match recipe.Schedule with
            | Constant -> 1.0
            | Linear -> 1.0 - elapsed
            | Cosine -> 0.5 * (1.0 + cos (Math.PI * elapsed))
            | Step(every, factor) -> factor ** floor (epochs / float every)

        let warmUpSteps = recipe.WarmUp * float stepsPerEpoch
        let taken = float (epoch * stepsPerEpoch + step + 1)
        let warm = if taken >= warmUpSteps then 1.0 else taken / warmUpSteps
        recipe.LearningRate * scheduled * warm

    /// <summary>Whether only the classifier is trained in an epoch, counted from 0.</summary>
    let isFrozen recipe epoch = epoch < recipe.Freeze

    /// <summary>The part of the stage before a step, from 0 to 1.</summary>
    let progress recipe stepsPerEpoch epoch step =
        (float epoch + float step / float (max 1 stepsPerEpoch)) / float recipe.Epochs

    /// <summary>Whether the rate decays within epochs too.</summary>
    let decaysPerStep recipe =
        match recipe.Schedule, recipe.Deviations.LastEpoch with
        | (Linear | Cosine), Rule.Corrected -> true
        | (Linear | Cosine), Rule.Published
        | (Constant | Step _), _ -> false

    /// Binary shortcuts of bn-free networks become zero-mean in stage 2.
    let private withShortcuts rule (net: NetSpec) =
        let zeroMean (projection: Projection) =
            match projection.Weights with
            | WeightBinariser.Binary -> { projection with Weights = WeightBinariser.ZeroMean }
            | WeightBinariser.PlainSign
            | WeightBinariser.ZeroMean
            | WeightBinariser.Real -> projection

        match rule, net.Norm, net.Binarise with
        | Rule.Corrected, BnFree _, ActivationsAndWeights -> Net.mapBlocks (Blocks.mapProjection zeroMean) net
        | _ -> net

    /// <summary>Sets the options of a network that the recipe decides: expected variance, binary gain and the weights of shortcuts.</summary>
    /// <remarks>A measured variance is kept.</remarks>
    let applyTo net recipe =
        let variance =
            match Net.tryBinary net |> Option.map _.ExpectedVariance, recipe.Deviations.ExpectedVariance with
            | Some(ExpectedVariance.Measured _ as measured), _ -> measured
            | _, Rule.Published -> ExpectedVariance.Published
            | _, Rule.Corrected -> ExpectedVariance.Corrected

        let gain =
            match recipe.Deviations.BinaryGain with
            | Rule.Published -> BinaryGain.One
            | Rule.Corrected -> BinaryGain.VariancePreserving

        net
        |> Net.withExpectedVariance variance
        |> Net.withBinaryGain gain
        |> withShortcuts recipe.Deviations.ShortcutWeights

    /// <summary>Whether weight decay applies to a parameter. Published: to 4-D ones and those with <c>conv</c> in their name.</summary>
    let decays recipe (parameter: ParameterSpec) =
        match recipe.Deviations.WeightDecay, parameter.Kind with
        | Rule.Published, _ -> parameter.Shape.Length = 4 || parameter.Key.Contains "conv"
        | Rule.Corrected, (ConvolutionWeight _ | LinearWeight) -> true
        | Rule.Corrected, _ -> false

    /// α of a network without a norm.
    let internal alpha net =
        match Net.tryBinary net |> Option.map _.Norm with
        | Some(BnFree alpha | Scaled alpha) -> Some alpha
        | Some(BatchNorm | NoNorm)
        | None -> None

    /// Filters of at most this many inputs (16 channels × 3×3) use the full learning rate.
    let private fullRateInputs = 144.0

    /// <summary>The learning-rate factor of a parameter; 1 with batch norm and without any norm.</summary>
    /// <remarks>Corrected (14): α for shifts, 1/α for gains and the classifier's weight; √(144/n), at most 1, for filters of n inputs.</remarks>
    let rateFactor recipe net (parameter: ParameterSpec) =
        match recipe.Deviations.Rates, alpha net, parameter.Kind with
        | Rule.Corrected, Some _, ConvolutionWeight conv -> min 1.0 (sqrt (fullRateInputs / float conv.FanIn))
        | Rule.Corrected, Some alpha, ShiftBias -> alpha
        | Rule.Corrected, Some alpha, (Gain | LinearWeight) -> 1.0 / alpha
        | _ -> 1.0

    /// <summary>Whether a network's signs are centred during training; never with batch norm or without any norm.</summary>
    let centersSigns recipe net = recipe.Deviations.SignCentering = Rule.Corrected && (alpha net).IsSome

    /// <summary>Whether the residual stream of a network is centred during training: if it has RPReLUs, whose shifts do it.</summary>
    let centersStream recipe net =
        recipe.Deviations.StreamCentering = Rule.Corrected
        && (alpha net).IsSome
        && Net.tryBinary net |> Option.exists Net.hasRPReLU

    /// <summary>The recipe without deviations that do not change how this network is trained: two recipes that are equal then train the same. The network
    /// itself contains the effect of <c>ShortcutWeights</c>.</summary>
    let effective net (recipe: Recipe) =
        let stream = if centersStream recipe net then Rule.Corrected else Rule.Published

        { recipe with
            Deviations = { recipe.Deviations with ShortcutWeights = Rule.Published; StreamCentering = stream } }

    /// <summary>Whether clipping applies to a parameter. Published: to all except the classifier.</summary>
    let clips recipe (parameter: ParameterSpec) =
        match recipe.Deviations.Clipping, parameter.Kind with
        | Rule.Published, _ -> not (parameter.Key.Contains "fc")
        | Rule.Corrected, ConvolutionWeight _ -> true
        | Rule.Corrected, _ -> false
